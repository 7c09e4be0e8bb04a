"""What a report says, as values and in sentences that every form of it uses; it knows nothing of records or of layout."""
