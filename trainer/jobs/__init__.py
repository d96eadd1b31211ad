"""One job: claimed, trained while its pairs come, published, loaded, measured, committed."""
