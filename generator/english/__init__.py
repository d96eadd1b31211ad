"""What rules know of English: words and their forms, phrases, numbers, dates, colours."""
