#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests: controller, node daemon and munge from Debian's packages, with files,
# sockets and ports of their own, heard on the loopback address alone.
#   bash scripts/local_slurm.sh install        the packages (as root)
#   bash scripts/local_slurm.sh start FOLDER   prints the line that makes sbatch and the others use it
#   bash scripts/local_slurm.sh stop FOLDER
# Jobs of the partition `high` take the node from those of `low`, which get SIGTERM and are put back into the queue.
set -euo pipefail

PACKAGES=(slurmctld slurmd slurm-client munge)

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }

port() { # a free one
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_for() { # SECONDS COMMAND...
  local left=$(( $1 * 5 )); shift
  until "$@" > /dev/null 2>&1; do
    (( left-- > 0 )) || return 1
    sleep 0.2
  done
}

configure() { # FOLDER. A job that was put back waits until its credentials have expired: two minutes by default.
  local host; host=$(hostname -s)
  cat > "$1/slurm.conf" <<CONF
ClusterName=assignbench
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(port)
SlurmdPort=$(port)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$1/munge.socket,cred_expire=20
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=60
MinJobAge=300
SchedulerParameters=sched_interval=2,bf_interval=2,requeue_setup_env_fail
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PropagateResourceLimits=NONE
NodeName=$host NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=120 State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP
CONF
  echo "CgroupAutomount=no" > "$1/cgroup.conf"
}

start() { # FOLDER
  local folder; mkdir -p "$1"; folder=$(cd "$1" && pwd)
  for program in munged slurmctld slurmd sbatch; do
    PATH=$PATH:/usr/sbin command -v "$program" > /dev/null || { echo "$program is missing; see '$0 install'" >&2; exit 3; }
  done
  mkdir -p "$folder/state" "$folder/spool"
  configure "$folder"
  (umask 077; head -c 1024 /dev/urandom > "$folder/munge.key")
  export PATH=$PATH:/usr/sbin SLURM_CONF=$folder/slurm.conf
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2> "$folder/munged.err"
  wait_for 20 test -S "$folder/munge.socket"
  slurmctld -c
  wait_for 60 scontrol ping || { tail -5 "$folder/slurmctld.log" >&2; exit 4; }
  slurmd
  wait_for 60 bash -c 'sinfo --noheader --format=%t | grep -qx idle' || { tail -5 "$folder/slurmd.log" >&2; exit 4; }
  echo "export SLURM_CONF=$folder/slurm.conf"
}

stop() { # FOLDER: ends the processes that `start` began there, and none that got such a number since
  local name pid
  for name in slurmd slurmctld munged; do
    pid=$(cat "$1/$name.pid" 2> /dev/null) || continue
    if [[ $(cat "/proc/$pid/comm" 2> /dev/null) == "$name" ]] && kill "$pid" 2> /dev/null; then
      wait_for 20 bash -c "! kill -0 $pid" || kill -9 "$pid" 2> /dev/null || true
    fi
    rm -f "$1/$name.pid"
  done
}

case "${1:-}" in
  install) apt-get install --yes --no-install-recommends "${PACKAGES[@]}" ;;
  start) [[ $# -eq 2 ]] || usage; start "$2" ;;
  stop) [[ $# -eq 2 ]] || usage; stop "$2" ;;
  *) usage ;;
esac
