"""Radiotherapy and image objects: reading DICOM into typed values, writing results.

Reading follows PS3.3 (information objects), PS3.5 (encoding) and PS3.10 (files).

Read next: `README.md`, then `read_series.py`.
"""

import warnings

# Both libraries quote values of the patient (names, numbers) in their warnings, which land
# on the error stream and so in the program log.  What they warn of is repaired and noted by
# rule (`repair.py`), or refused.
warnings.filterwarnings("ignore", module=r"(pydicom|highdicom)(\..*)?")
