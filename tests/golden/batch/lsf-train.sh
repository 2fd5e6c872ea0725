#!/bin/bash
#BSUB -J "train.0a1b2c3d"
#BSUB -n 1
#BSUB -R "span[ptile=1]"
#BSUB -R "affinity[core(8)]"
#BSUB -W 24:00
#BSUB -wa USR1 -wt 2
#BSUB -rn
#BSUB -o log/0.txt
#BSUB -P abc123
#BSUB -q gpu
#BSUB -R "rusage[mem=65536MB]"
#BSUB -M 65536MB
#BSUB -gpu "num=1:gmodel=a100"

umask 0027
node="${SLURMD_NODENAME:-$(hostname)}"
cd -- '/scratch/group/runs/it'"'"'s mine/.engine/jobs/label.0a1b2c3d' || { echo "$node does not see the run folder" >&2; exit 66; }
member=$(( ${LSB_JOBINDEX:-0} > 0 ? LSB_JOBINDEX - 1 : 0 ))
own="${LSB_JOBID:-}"
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
[ "$early" = - ] || finish 143
/opt/venv/bin/python -P -m dpa_sse.pipeline.engines.slurm.job '/scratch/group/runs/it'"'"'s mine/.engine/jobs/label.0a1b2c3d' "$member" &
task=$!
[ "$early" = - ] || kill -TERM "$task" 2>/dev/null
while :; do
  wait "$task" && code=0 || code=$?
  kill -0 "$task" 2>/dev/null || break
done
finish "$code"
