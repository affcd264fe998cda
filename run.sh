cd /tmp/w2; export PYTHONPATH=/tmp/w2/src OMP_NUM_THREADS=1
taskset -c 1 /tmp/venv/bin/python -m plaudit run pocket --set threads=1 --set seed=5 --set world.documents=60000 --set world.votes=30000 --set world.verdicts=18000 --out /tmp/w2/runs/a > a.log 2>&1
