"""The one place that trains, evaluates and saves.

    from vitascope.engine.overrides import apply_overrides
    from vitascope.engine.train import fit
    from vitascope.engine.evaluate import evaluate

    recipe = apply_overrides(recipe, ["data.path=clips", "optim.epochs=20"])
    result = fit(recipe, "RUN", resume=False, on_event=print)    # TrainResult
    scores = evaluate("RUN", split="test", views="10x3")         # EvalResult

`fit` reads `recipe.data.path`, completes its splits, writes everything into RUN and tells
`on_event` what happens (`engine.log.Event`); it prints nothing itself. A program that first wants
to look at the data uses `engine.build.read_data(recipe)`, the same table that `fit` trains on.
`engine.build.load_model("RUN")` gives model and checkpoint for prediction.
"""
