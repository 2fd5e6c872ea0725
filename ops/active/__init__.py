"""Active fine-tuning: MD with the fine-tuned model, labels of chosen frames, training with them; again."""
