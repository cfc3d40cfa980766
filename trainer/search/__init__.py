"""Search for better settings of a recipe: one folder, one study, any number of workers.

::

    search.yaml            what is searched, written once; later commands on the folder must agree with it
    study.jsonl            Optuna's journal of trials, see `trainer.search.journal`
    judge-….pt             the network whose features are compared, trained once on the training split
    trials/0007/           one trial: a run folder (see `trainer.run_folder`), and
        trial.json         what its process is asked to do
        values.jsonl       what was measured on the way
        score.json         how it ended, written last
        log.txt            everything the process wrote
        .worker            locked while somebody works on the trial
    trials/0007-seed-3/    the same settings with a fresh seed, to see what the best value is worth
    results.json           what was found, for programs
    report.html            the same for people
"""
