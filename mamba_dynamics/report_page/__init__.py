"""A report as one self-contained HTML page: `Report.to_html` and `mamba-dynamics report`.

words       what is said, in sentences
facts       what tables show
pictures    what is drawn, and what each picture says in words
svg         a matplotlib figure as a part of the page
page        all of it, in template/
"""

from .page import report_page as report_page
