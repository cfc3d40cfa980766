"""The descriptor pool of the generated messages. Written by proto/generate.py."""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
