"""What a script with the package heroku3 does: list apps, scale, set config vars, read releases."""

import os
import sys

import heroku3
import heroku3.api
import requests

heroku3.api.HEROKU_URL = os.environ["BASE"]
session = requests.session()
# What resolves names for Python may not know `.localhost`, so the address is loopback's, and the name stands here.
session.headers["Host"] = os.environ["NAME"]
heroku = heroku3.from_key(os.environ["TOKEN"], session=session)
name = sys.argv[1]

assert heroku.is_authenticated
assert name in [app.name for app in heroku.apps()], heroku.apps()
app = heroku.apps()[name]

config = app.config()
config["FROM_PYTHON"] = "it's set"
assert app.config().to_dict()["FROM_PYTHON"] == "it's set"

formation = app.process_formation()["web"]
assert formation.scale(2).quantity == 2
assert app.process_formation()["web"].quantity == 2

releases = app.releases(order_by="version", sort="desc", limit=2)
print([(release.version, release.description) for release in releases])
assert releases[0].description == "Set FROM_PYTHON config vars", releases[0].description
