"""The countries whose capital the sandbox asks for."""

from collections.abc import Mapping
from types import MappingProxyType

CAPITALS: Mapping[str, str] = MappingProxyType(
    {
        "Austria": "Vienna",
        "Belgium": "Brussels",
        "Brazil": "Brasilia",
        "Bulgaria": "Sofia",
        "Canada": "Ottawa",
        "Chile": "Santiago",
        "China": "Beijing",
        "Croatia": "Zagreb",
        "Cuba": "Havana",
        "Denmark": "Copenhagen",
        "Egypt": "Cairo",
        "Estonia": "Tallinn",
        "Finland": "Helsinki",
        "France": "Paris",
        "Germany": "Berlin",
        "Ghana": "Accra",
        "Greece": "Athens",
        "Hungary": "Budapest",
        "Iceland": "Reykjavik",
        "Ireland": "Dublin",
        "Italy": "Rome",
        "Japan": "Tokyo",
        "Jordan": "Amman",
        "Kenya": "Nairobi",
        "Latvia": "Riga",
        "Nepal": "Kathmandu",
        "Norway": "Oslo",
        "Peru": "Lima",
        "Poland": "Warsaw",
        "Portugal": "Lisbon",
        "Romania": "Bucharest",
        "Senegal": "Dakar",
        "Serbia": "Belgrade",
        "Slovenia": "Ljubljana",
        "Spain": "Madrid",
        "Sweden": "Stockholm",
        "Thailand": "Bangkok",
        "Tunisia": "Tunis",
        "Ukraine": "Kyiv",
        "Vietnam": "Hanoi",
    }
)
