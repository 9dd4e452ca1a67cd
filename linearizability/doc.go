// Package linearizability judges recorded histories of block volumes: it owns
// histories, the models they are held against, the checkers and the pictures
// of a failure. The simulator calls it once per seed, a recorder on a real
// cluster once per run; nothing here knows how a history came about.
//
//	recorder ──▶ History ──▶ Checker.Check ──▶ nil | *Violation ──▶ words, page
//	                    └──▶ CheckPrefix   ──▶ nil | *Violation
//
// The unit is one register per block, for a block device promises nothing
// across blocks. What is promised:
//
//   - Every operation that succeeded took effect at one instant between its
//     call and its return. One that failed never did. One of unknown outcome
//     did at any time after its call, or never; if the session that served it
//     was replaced (History.Attach, History.Fence): not after that.
//   - A loss of every in-sync copy (History.PowerLoss) leaves of each block
//     the value it had at the last flush before the loss, or one written
//     later. The first read picks which; from then on it is fixed and safe. A
//     smaller crash loses nothing, so it is not in the history at all.
//   - The image after such a loss is a prefix of the volume's one stream
//     (CheckPrefix, where the places of writes in the stream are known).
//
// History.Save and Load keep a history in a file (docs/history-format.md); the
// command lagan check judges one by whomever it was recorded.
//
// Two judges look at each block. Zones (Gibbons and Korach, "Testing shared
// memories", 1997) needs n log n steps but values that were written once only.
// Porcupine searches and is the judge of record: Zones' acquittal is taken as
// it is (a differential test holds the two together), its conviction and its
// doubts (zeroes written by trims, reads under way during a power loss) go to
// porcupine. No clock is asked unless a timeout is set, and running into the
// timeout is a violation too: "unknown" is not "legal".
package linearizability
