package volume_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

func sampleConfig() *volume.Config {
	return &volume.Config{
		Format: volume.Format, Volume: block.VolumeID{1}, Blocks: 1 << 20, Epoch: 7, Change: 1<<63 + 5,
		Coordinator: &volume.Coordinator{Node: block.NodeID{2}, Session: 1<<63 + 1},
		Members: []volume.Member{
			{Replica: block.ReplicaID{3}, Node: block.NodeID{2}, Disk: block.DiskID{4}, State: volume.InSync, Incarnation: 1 << 63, BootID: block.BootID{5}},
			{Replica: block.ReplicaID{6}, Node: block.NodeID{7}, Disk: block.DiskID{8}, State: volume.Out},
		},
		History: []volume.Era{{Era: 2, First: 1}, {Era: 5, First: 9}},
		CleanAt: &block.Position{Era: 5, Seq: 12}, MinWritable: 1, Recovery: "wait",
	}
}

func TestConfigReadsBackWhatItWrote(t *testing.T) {
	want := sampleConfig()
	got, err := volume.ParseConfig(want.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("configuration changed on the way (-wrote +read):\n%s", diff)
	}
}

func TestConfigOfNewerFormatIsRefusedByName(t *testing.T) {
	c := sampleConfig()
	c.Format = volume.Format + 1
	if _, err := volume.ParseConfig(c.Encode()); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Fatalf("error %v, want one that names the format", err)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	c := sampleConfig()
	d := c.Clone()
	d.Members[0].State, d.History[0].First = volume.Out, 99
	d.Coordinator.Session, d.CleanAt.Seq = 4, 4
	if diff := cmp.Diff(sampleConfig(), c); diff != "" {
		t.Fatalf("a change of the clone reached the original:\n%s", diff)
	}
}

// An era none of whose records survived must vanish: else a member that holds
// its records would be told to keep them.
func TestAddEraDropsErasWithoutRecords(t *testing.T) {
	c := &volume.Config{}
	c.AddEra(1, 1)
	c.AddEra(4, 10)
	c.AddEra(6, 10) // the takeover of era 4 never wrote its NOP
	c.AddEra(9, 5)  // power loss: the stream ends earlier than two eras began
	want := []volume.Era{{Era: 1, First: 1}, {Era: 9, First: 5}}
	if diff := cmp.Diff(want, c.History); diff != "" {
		t.Fatalf("history (-want +got):\n%s", diff)
	}
}

func TestHistoryForgetsTheOldestErasAndSaysSo(t *testing.T) {
	c := &volume.Config{}
	for i := range 40 {
		c.AddEra(block.Epoch(i+1), block.Seq(10*i+1))
	}
	if len(c.History) != 32 || c.History[0].Era != 9 || c.HistoryFloor != 8 {
		t.Fatalf("%d eras from %d, floor %d; want 32 from 9, floor 8", len(c.History), c.History[0].Era, c.HistoryFloor)
	}
}

func TestFirstAfterNamesWhereAnEraEnded(t *testing.T) {
	c := &volume.Config{History: []volume.Era{{Era: 2, First: 1}, {Era: 5, First: 9}}}
	if first, ok := c.FirstAfter(2); !ok || first != 9 {
		t.Errorf("records of era 2 end before %d, %v; want 9", first, ok)
	}
	if _, ok := c.FirstAfter(5); ok {
		t.Error("the newest era has ended")
	}
}

func TestConfigWithoutInSyncMemberIsUnsound(t *testing.T) {
	c := sampleConfig()
	c.Members[0].State = volume.Out
	if c.Check() == nil {
		t.Error("a volume without any copy was taken for sound")
	}
	c.Tombstone = true
	if err := c.Check(); err != nil {
		t.Errorf("a deleted volume: %v", err)
	}
}
