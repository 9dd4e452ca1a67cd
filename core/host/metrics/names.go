package metrics

import "github.com/prometheus/client_golang/prometheus"

// The metrics of ours.
const (
	build = iota
	nodes
	volumes
	reachable
	commands
	events
	requests
	connections
	messages
	wireBytes
	diskCapacity
	diskFree
	diskPromised
	diskMayPromise
	diskUnusable
	diskJournal
	diskScrubbed
	diskScrubAge
	diskScrubDamage
	diskAiling
	diskOperations
	diskErrors
	diskBusy
	diskWaiting
	requestDuration
	requestBytes
	requestErrors
	requestsOpen
	serving
	epoch
	inSync
	resyncing
	resyncBytes
	resyncDone
	resyncTotal
	repairedBlocks
	lostBlocks
	count
)

// metric is one metric, or a family with labels.
type metric struct {
	name   string
	kind   string // "gauge", "counter" or "histogram", as the page writes it
	labels []string
	help   string // the page has the same sentence
}

// desc is what Prometheus wants to know of a metric.
func (m *metric) desc() *prometheus.Desc { return prometheus.NewDesc(m.name, m.help, m.labels, nil) }

// ofDisk and ofRequest are the labels of what there is a series of for each disk
// of this node, and for each kind of request to a volume attached here.
var (
	ofVolume  = []string{"volume"}         // constant table: labels
	ofRequest = []string{"volume", "kind"} // constant table: labels
	ofDisk    = []string{"disk", "path"}   // constant table: labels

	ofOperation = []string{"disk", "path", "operation"} // constant table: labels
)

// catalogue is what docs/metrics.md lists; a test compares the two.
var catalogue = [count]metric{ // constant table: the metrics by number
	build:     {"lagan_build_info", "gauge", []string{"node", "version"}, "Always 1: who the node is and what it runs."},
	nodes:     {"lagan_nodes", "gauge", []string{"state"}, "Nodes of the cluster as this one hears of them: alive or silent."},
	volumes:   {"lagan_volumes", "gauge", []string{"health"}, "Volumes of the cluster as this node sees them, by health."},
	reachable: {"lagan_metadata_reachable", "gauge", nil, "1 if the metadata store answered this node's last request."},
	commands:  {"lagan_commands_in_flight", "gauge", nil, "Commands of users that this node is carrying out."},
	events:    {"lagan_events_total", "counter", []string{"kind"}, "Events that this node saw since it was started."},
	requests:  {"lagan_api_requests_total", "counter", []string{"route", "method", "code"}, "Requests to the API, by the noun they are about, method and HTTP status."},

	connections: {"lagan_transport_connections", "gauge", nil, "Connections with other nodes, those being made included."},
	messages:    {"lagan_transport_messages_total", "counter", []string{"direction"}, "Messages exchanged with other nodes: sent or received."},
	wireBytes:   {"lagan_transport_bytes_total", "counter", []string{"direction"}, "Bytes exchanged with other nodes, on the wire, after the handshakes."},

	diskCapacity:    {"lagan_disk_capacity_bytes", "gauge", ofDisk, "Bytes for data on a disk of this node, used ones included."},
	diskFree:        {"lagan_disk_free_bytes", "gauge", ofDisk, "Free bytes of the disk, as last recorded: within a sixty-fourth of its capacity."},
	diskPromised:    {"lagan_disk_promised_bytes", "gauge", ofDisk, "Bytes of the volumes with a copy on the disk, whether written or not."},
	diskMayPromise:  {"lagan_disk_promise_max_bytes", "gauge", ofDisk, "Bytes that the disk may promise to volumes: beyond, no copy comes and none grows."},
	diskUnusable:    {"lagan_disk_unusable", "gauge", ofDisk, "1 if the disk cannot be used."},
	diskJournal:     {"lagan_disk_journal_fill_ratio", "gauge", ofDisk, "How full the disk's journal is with what cannot leave it yet, from 0 to 1."},
	diskScrubbed:    {"lagan_disk_scrub_progress_ratio", "gauge", ofDisk, "How much of the disk's data the scrub under way has read, from 0 to 1; 1 if none is."},
	diskScrubAge:    {"lagan_disk_scrub_age_seconds", "gauge", ofDisk, "Seconds since the last scrub of the disk came to its end, or since the disk was first known."},
	diskScrubDamage: {"lagan_disk_scrub_damaged_chunks", "gauge", ofDisk, "Chunks of 64 KiB in which the scrub under way, or the last one, found damage."},

	diskAiling:     {"lagan_disk_ailing", "gauge", ofDisk, "1 if the disk returned errors or did not answer for seconds: it gets no new copies."},
	diskOperations: {"lagan_disk_operations_total", "counter", ofOperation, "Operations that the disk has ended since the node was started: read, write or sync."},
	diskErrors:     {"lagan_disk_operation_errors_total", "counter", ofOperation, "Those of them that ended with an error."},
	diskBusy:       {"lagan_disk_operation_seconds_total", "counter", ofOperation, "How long they took, all together."},
	diskWaiting:    {"lagan_disk_waiting_seconds", "gauge", ofDisk, "How long the disk has not ended any operation of a kind that it was given, 0 if it answers."},

	requestDuration: {"lagan_volume_request_duration_seconds", "histogram", ofRequest, "How long requests to a volume attached here took, failed ones included: read, write, zero or flush."},
	requestBytes:    {"lagan_volume_request_bytes_total", "counter", ofRequest, "Bytes read, written or zeroed."},
	requestErrors:   {"lagan_volume_request_errors_total", "counter", ofRequest, "Requests that failed."},
	requestsOpen:    {"lagan_volume_requests_in_flight", "gauge", ofVolume, "Requests to the volume that have not been answered."},
	serving:         {"lagan_volume_serving", "gauge", ofVolume, "1 if requests to the volume are answered, 0 if they wait."},
	epoch:           {"lagan_volume_epoch", "gauge", ofVolume, "Number of the volume's configuration; it only rises."},
	inSync:          {"lagan_volume_in_sync_copies", "gauge", ofVolume, "Copies of the volume that have all that was acknowledged."},
	resyncing:       {"lagan_volume_resyncing", "gauge", ofVolume, "1 if a copy of the volume is being filled."},
	resyncBytes:     {"lagan_volume_resync_bytes_total", "counter", ofVolume, "Bytes sent to copies that were being filled, since the volume was attached."},
	resyncDone:      {"lagan_volume_resync_done_bytes", "gauge", ofVolume, "Bytes of the chunks that were copied to the copy being filled now, 0 if none is."},
	resyncTotal:     {"lagan_volume_resync_total_bytes", "gauge", ofVolume, "Bytes of the chunks that it takes in all, as far as is known by now: the rest of a long list is estimated."},
	repairedBlocks:  {"lagan_volume_repaired_blocks_total", "counter", ofVolume, "Blocks that a copy did not give as written and that were written anew from another, since the volume was attached."},
	lostBlocks:      {"lagan_volume_lost_blocks", "gauge", ofVolume, "Blocks that no copy in sync has as written, as far as was noticed: reading them fails until they are overwritten."},
}
