"""Tables of a whole history, which no hour alone can give: replaced whole, from the record."""
