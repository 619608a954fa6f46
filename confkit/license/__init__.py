"""License files: syntax, signatures, pools and terms, as pure code.

Upload, inspection, the vendor's tool and the License Manager all stand on it: `syntax.parse`,
`signing.verify`, `trust.parse_trust_set`, `pools.pools_of`, `terms.Terms`. Nothing here reads a clock or a
file.
"""
