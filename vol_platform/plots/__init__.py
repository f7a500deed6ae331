"""Pictures: smiles, surfaces, term structures."""
