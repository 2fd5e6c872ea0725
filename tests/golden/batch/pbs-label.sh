#!/bin/bash
#PBS -N label.0a1b2c3d
#PBS -l select=2:ncpus=64:mpiprocs=64:ompthreads=1:mem=122880mb
#PBS -l walltime=36:00:00
#PBS -j oe
#PBS -o log/
#PBS -V
#PBS -A abc123
#PBS -q cpu
#PBS -J 0-11%20

umask 0027
node="${SLURMD_NODENAME:-$(hostname)}"
cd -- '/scratch/group/runs/it'"'"'s mine/.engine/jobs/label.0a1b2c3d' || { echo "$node does not see the run folder" >&2; exit 66; }
member=${PBS_ARRAY_INDEX:-0}
own="${PBS_JOBID:-}" own="${own%%.*}" own="${own/\[*\]/[]}"
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
module load vasp/6.4
export SCRATCH="/scratch/$USER"
[ "$early" = - ] || finish 143
/opt/venv/bin/python -P -m dpa_sse.pipeline.engines.slurm.job '/scratch/group/runs/it'"'"'s mine/.engine/jobs/label.0a1b2c3d' "$member" &
task=$!
[ "$early" = - ] || kill -TERM "$task" 2>/dev/null
( sleep 129510; kill -USR1 $$ ) >/dev/null 2>&1 &
clock=$!
while :; do
  wait "$task" && code=0 || code=$?
  kill -0 "$task" 2>/dev/null || break
done
kill "$clock" 2>/dev/null
finish "$code"
