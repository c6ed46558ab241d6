"""What the plots of the report show, as data; ``report.drawing`` draws them."""
