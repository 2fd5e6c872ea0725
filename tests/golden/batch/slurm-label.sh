#!/bin/bash
#SBATCH --job-name=label.0a1b2c3d
#SBATCH --account=abc123
#SBATCH --partition=cpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=64
#SBATCH --cpus-per-task=1
#SBATCH --mem=122880M
#SBATCH --time=36:00:00
#SBATCH --signal=B:USR1@90
#SBATCH --array=0-11%20
#SBATCH --output=log/%a.txt
#SBATCH --no-requeue
#SBATCH --open-mode=append
#SBATCH --exclusive

umask 0027
node="${SLURMD_NODENAME:-$(hostname)}"
cd -- '/scratch/group/runs/it'"'"'s mine/.engine/jobs/label.0a1b2c3d' || { echo "$node does not see the run folder" >&2; exit 66; }
member=${SLURM_ARRAY_TASK_ID:-0}
own="${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-}}"
# the file `job` names the job that is to do the work; `repeated`: there may be two of them
mine() { [ -z "$own" ] || [ ! -s job ] || [ "$(cat job)" = "$own" ]; }
for _ in {1..120}; do [ -e repeated ] && [ ! -s job ] && [ ! -e closed ] && [ -n "$own" ] || break; sleep 1; done
[ ! -e repeated ] || [ -z "$own" ] || (set -C; echo "$own" >job) 2>/dev/null
if [ -e closed ] || ! mine; then echo "job $own: not the one that is waited for; it does nothing"; exit 0; fi
rm -f "exit/$member"
printf '%-120s\n' - >"exit/$member.tmp"
early=- task=
stop() { [ "$early" != - ] || early=$1; [ -z "$task" ] || kill -TERM "$task" 2>/dev/null; }
finish() {
  mine && printf '%-120s\n' "$1 $early $SECONDS $node $own" 1<>"exit/$member.tmp" && mv -f "exit/$member.tmp" "exit/$member"
  exit "$1"
}
trap 'stop time' USR1
trap 'stop term' TERM
export PYTHONPATH='/opt/a b'
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"
module load vasp/6.4
export SCRATCH="/scratch/$USER"
[ "$early" = - ] || finish 143
/opt/venv/bin/python -P -m dpa_sse.pipeline.engines.slurm.job '/scratch/group/runs/it'"'"'s mine/.engine/jobs/label.0a1b2c3d' "$member" &
task=$!
[ "$early" = - ] || kill -TERM "$task" 2>/dev/null
while :; do
  wait "$task" && code=0 || code=$?
  kill -0 "$task" 2>/dev/null || break
done
finish "$code"
