"""The default example: who of CDNOW's customers will buy again?"""
