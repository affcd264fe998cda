"""What a run showed, as data: its record, warning signs, and the verdict. The report only lays it out."""
