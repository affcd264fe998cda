cd /tmp/w2; export PYTHONPATH=/tmp/w2/src OMP_NUM_THREADS=1
for s in 0 1 2; do taskset -c 1 /tmp/venv/bin/python -m plaudit run pocket --set threads=1 --set seed=$s --out /tmp/w2/runs/s$s > s$s.log 2>&1; done
