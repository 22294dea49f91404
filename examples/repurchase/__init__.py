"""The default example: which customers of CDNOW will buy again?"""
