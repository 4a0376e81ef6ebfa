"""What the pages and the factory share."""

from flask_centralauth import CentralAuth

centralauth = CentralAuth()
