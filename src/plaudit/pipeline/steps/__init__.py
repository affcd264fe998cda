"""The steps of a recipe, one module a family: load what came before, call one function, save what it made."""
