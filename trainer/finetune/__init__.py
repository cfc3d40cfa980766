"""Fine-tuning: a package and a few hundred images in, a package with evidence out. `runtime.fine_tuning` holds the
typed side of what follows, and needs no torch.

The command
-----------
``python -m trainer.finetune --job FOLDER`` (or ``latentd finetune --job FOLDER``) does what ``FOLDER/job.json`` asks
for, a `FineTuneOrder`; `latentd finetune PACKAGE …` writes such a file itself. Started again after a stop, a ``kill
-9`` or a failure of the machine, it goes on exactly from the last checkpoint, or, where training was done, from
there. Once it has ended for good (`result.json` is there) it says so and does nothing.

SIGTERM and SIGINT save and end the process with 128 + signal; a second SIGTERM changes nothing, a SIGKILL loses what
came after the last checkpoint, 10 seconds of training by default. Standard output is for people. All paths in
`job.json` are absolute.

Whoever gives a job to another process writes `job.json` with the next ``attempt`` first: a process of an earlier
attempt that is still alive somewhere sees it within seconds, writes nothing more and publishes nothing (exit code 5).
On one machine a lock on the folder keeps two processes apart as well.

The folder
----------
::

    job.json           the order: job, attempt, package, data, store, name, config; written by whoever starts
    events.jsonl       what happens, one JSON object per line, see below
    result.json        written once, last: a `FineTuneResult`, for exit codes 0 and 3
    before.json        what the package scored on the images before
    refused/           report.html, evaluation.json and samples.png of a package that a gate refused
    checkpoint.pt      latest state; best.pt: the best so far; packaged.pt: what goes into the package
    config.yaml metrics.jsonl alarms.jsonl samples/ tensorboard/    as in every run, see `trainer.run_folder`

The events
----------
``{"seq": 7, "time": "2026-01-31T12:00:00.123Z", "attempt": 1, "type": "metrics", "data": {…}}``

``seq`` counts from 1 without gaps over all attempts; a line is whole once its line end is there; `runtime.event_file`
reads and follows it by byte offset. Types, and what is in ``data``:

=============  ========================================================================================================
stage          ``stage``: what begins: measuring before, publishing
before         ``package``, ``measures``: of the package on the images, by name
started        ``images`` (above 0: resumed there, and what earlier events said of more images is void), ``package``,
               ``training_images``, ``held_out_images``, ``rehearsed_images``, ``size``, ``classes``, ``new_classes``,
               ``frozen_layers``, ``batch_size``, ``budget_images``, ``budget_minutes``
progress       every 2 s: ``images``, ``seconds``, ``share`` of the budget (0 … 1), ``seconds_left`` or null
metrics        ``images``, ``steps``, ``seconds``, ``images_per_second``, ``loss_generator``, ``loss_discriminator``, …
measurement    ``images``, ``kernel_distance`` (to held-out images), ``copying_signs`` (0: none)
checkpoint     ``images``, ``kernel_distance``, ``file``: a new best state is kept
grid           ``images``, ``file``: a PNG with samples of fixed seeds, one class per row
alarm          ``reasons``, ``images``, ``back_to``, …: training went back to an earlier state, see `trainer.alarm`
notice         ``message``
stopped        ``exit_code``, ``message``, and ``images`` where training had begun: saved, to be started again
failed         ``exit_code``, ``message``: one sentence for the user, except with exit code 4
refused        ``exit_code``, ``message`` and the fields of `FineTuneResult` but ``store``
finished       ``exit_code``, ``message`` and the fields of `FineTuneResult` but ``store``
=============  ========================================================================================================

The last four end an attempt. A killed one has none of them.

Exit codes
----------
======  ===========================================================================  =================================
0       published                                                                    done
1       images, package or settings cannot be used, or training collapsed            failed, tell the user the reason
2       no valid order                                                               failed, mend the order
3       a requirement is missed, nothing is published                                failed, tell the user the numbers
4       a defect                                                                     try again, a few times
5       not ours: held by another process, or a later attempt has the order          nothing to do
74      the machine gave out: disk, memory                                           try again, here or elsewhere
128+n   stopped by signal n, saved                                                   start again to go on
−n      killed by signal n                                                           start again to go on
======  ===========================================================================  =================================

How it is done
--------------
`ancestor` reads the package, `images` and `classes` decide what is trained on, `recipe` chooses rates, batch,
augmentation and budget for small sets, `system` hands the weights down (`inheritance`), freezes the input side of the
discriminator (`freezing`) and puts adapters in (`adapters`), `watch` chooses the best state on held-out images and
ends training, `telling` writes events, `run` is the whole.
"""
