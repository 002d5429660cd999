"""Kafka as the log: topics in, one state out, offsets kept with the state.

The state of a directory that Kafka feeds is its newest snapshot and what the topics got since. The
snapshot holds the offsets, so an event is never applied to a state that has it already, and none is
left out: a kill at any moment costs the time to read the tail again, nothing else. What is
committed to the broker only feeds lag dashboards.

Every process reads all partitions of its topics, because every one holds everything. Needs
confluent-kafka, which is loaded on first use: ``pip install 'xfeed[kafka]'``.
"""

from xfeed.kafka.address import Address
from xfeed.kafka.ingest import KafkaIngest
from xfeed.kafka.produce import ProduceReport, produce

__all__ = ["Address", "KafkaIngest", "ProduceReport", "produce"]
