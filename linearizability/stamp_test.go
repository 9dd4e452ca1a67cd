package linearizability

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

func TestStampSurvivesItsBlock(t *testing.T) {
	for _, size := range []int{64, 512, 4096} {
		data := make([]byte, size)
		s := Stamp{Volume: block.VolumeID{1, 2}, Block: 9, Writer: 3, Seq: 77}
		s.Encode(data)
		got, err := Decode(data, s.Volume, 9)
		if err != nil || got != s || got.Value() != 3<<48|77 {
			t.Fatalf("%d bytes: got %v, %v", size, got, err)
		}
	}
}

func TestBlockOfZeroesWasNeverWritten(t *testing.T) {
	s, err := Decode(make([]byte, 64), block.VolumeID{1}, 9)
	if err != nil || s.Value() != 0 {
		t.Fatalf("got %v, %v", s, err)
	}
}

func TestStampOfAnotherPlaceIsMisplaced(t *testing.T) {
	data := make([]byte, 64)
	Stamp{Volume: block.VolumeID{1}, Block: 9, Writer: 3, Seq: 77}.Encode(data)
	if _, err := Decode(data, block.VolumeID{1}, 8); !errors.Is(err, ErrMisplaced) {
		t.Errorf("other block: %v", err)
	}
	if _, err := Decode(data, block.VolumeID{2}, 9); !errors.Is(err, ErrMisplaced) {
		t.Errorf("other volume: %v", err)
	}
}

func TestEveryDamagedByteIsNoticed(t *testing.T) {
	clean := make([]byte, 512)
	volume := block.VolumeID{1}
	Stamp{Volume: volume, Block: 9, Writer: 3, Seq: 77}.Encode(clean)
	for i := range clean {
		data := bytes.Clone(clean)
		data[i] ^= 0x10
		if _, err := Decode(data, volume, 9); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

func TestMixedBlockIsNoticed(t *testing.T) {
	volume := block.VolumeID{1}
	old, young := make([]byte, 4096), make([]byte, 4096)
	Stamp{Volume: volume, Block: 9, Writer: 3, Seq: 77}.Encode(old)
	Stamp{Volume: volume, Block: 9, Writer: 3, Seq: 78}.Encode(young)
	for cut := 512; cut < 4096; cut += 512 {
		for _, parts := range [][2][]byte{{old, young}, {young, old}, {young, make([]byte, 4096)}, {make([]byte, 4096), young}} {
			mixed := append(bytes.Clone(parts[0][:cut]), parts[1][cut:]...)
			if _, err := Decode(mixed, volume, 9); !errors.Is(err, ErrDamaged) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
	}
}

func TestDamagedReadIsIllegalWithoutSearch(t *testing.T) {
	h := NewHistory(block.VolumeID{1})
	both := block.Range{First: 3, Count: 2}
	h.Return(2, h.Call(1, 0, Write, both, 1, 1))
	data := make([]byte, 128)
	Stamp{Volume: h.Volume(), Block: 3, Seq: 1}.Encode(data[:64])
	Stamp{Volume: h.Volume(), Block: 5, Seq: 1}.Encode(data[64:])
	h.ReturnData(4, h.Call(3, 0, Read, both), data)
	v := (&Checker{}).Check(h)
	if v == nil || v.Rule != Damaged || v.Block != 4 || !errors.Is(v.Cause(), ErrMisplaced) {
		t.Fatalf("got %v, want block 4 misplaced", v)
	}
}

func TestStampBytesStayWhatTheyAre(t *testing.T) {
	data := make([]byte, 64)
	Stamp{Volume: block.VolumeID{1, 2}, Block: 9, Writer: 3, Seq: 77}.Encode(data)
	const want = "53544d50f473a09801020000000000000000000000000000" + // magic, crc, volume
		"09000000000000004d00000000000300323bec5a12532ebe" + // block, value, seed
		"4af77ef7d0905ee90ff40ac8dfdd3856" // filler
	if got := hex.EncodeToString(data); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzDecode feeds blocks to Decode: what it takes is what Encode writes.
func FuzzDecode(f *testing.F) {
	clean := make([]byte, 128)
	Stamp{Block: 9, Writer: 3, Seq: 77}.Encode(clean)
	f.Add(clean)
	f.Add(clean[:64])
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < StampSize || len(data)%8 != 0 {
			return
		}
		s, err := Decode(data, block.VolumeID{}, 9)
		if err != nil {
			return
		}
		again := make([]byte, len(data))
		if s != (Stamp{}) {
			s.Encode(again)
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("%v is written as\n%x\nbut was read from\n%x", s, again, data)
		}
	})
}
