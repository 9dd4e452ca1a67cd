package linearizability

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

// fieldError says what is wrong with one field of a line.
type fieldError struct{ field, problem string }

func (e fieldError) Error() string { return fmt.Sprintf("field %q: %s", e.field, e.problem) }

// fields reads an object and hands each field to take, which says where it
// goes and what it has to be. Fields that are there twice, or spelt
// differently, are refused: what is meant by them is not known.
func fields(data []byte, take func(name string) (into any, what string)) error {
	in := json.NewDecoder(bytes.NewReader(data))
	if token, err := in.Token(); err != nil || token != json.Delim('{') {
		return errors.New("it is no JSON object")
	}
	seen := map[string]bool{}
	for in.More() {
		token, err := in.Token()
		name, is := token.(string)
		if err != nil || !is {
			return errors.New("it is no JSON object")
		}
		into, what := take(name)
		switch {
		case into == nil:
			return fieldError{name, "there is no such field"}
		case seen[name]:
			return fieldError{name, "it is there twice"}
		}
		seen[name] = true
		var raw json.RawMessage
		if err := in.Decode(&raw); err != nil {
			return fieldError{name, "it is no JSON"}
		}
		if err := json.Unmarshal(raw, into); err != nil || bytes.Equal(raw, []byte("null")) {
			return fieldError{name, fmt.Sprintf("%s is not %s", excerpt(raw), what)}
		}
	}
	if _, err := in.Token(); err != nil {
		return errors.New("it is no whole JSON object")
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object: each has a line of its own")
	}
	return nil
}

// excerpt is what of a field's content fits in a message.
func excerpt(raw []byte) string {
	const most = 40
	if len(raw) > most {
		return strings.ToValidUTF8(string(raw[:most]), "") + "…"
	}
	return string(raw)
}

// What fields have to be.
const (
	whatTime   = "a time: a whole number of nanoseconds, at least 0"
	whatNumber = "a whole number from 0 to 4294967295"
	whatText   = "a text"
)

func (h *header) parse(data []byte) error {
	var format, volume *string
	var version *int
	if err := fields(data, func(name string) (any, string) {
		switch name {
		case "format":
			return &format, whatText
		case "version":
			return &version, "a whole number"
		case "volume":
			return &volume, whatText
		}
		return nil, ""
	}); err != nil {
		return err
	}
	switch {
	case format == nil || *format != fileFormat:
		return fieldError{"format", fmt.Sprintf("it has to be %q: is this the file of a history?", fileFormat)}
	case version == nil || *version != fileVersion:
		return fieldError{"version", fmt.Sprintf("this program reads version %d", fileVersion)}
	case volume == nil:
		return fieldError{"volume", "it is missing"}
	}
	if err := h.Volume.UnmarshalText([]byte(*volume)); err != nil {
		return fieldError{"volume", err.Error()}
	}
	return nil
}

func (l *line) parse(data []byte) error {
	var place *json.RawMessage
	if err := fields(data, func(name string) (any, string) {
		switch name {
		case "kind":
			return &l.Kind, whatText
		case "client":
			return &l.Client, "a whole number from 0 to 65535"
		case "call":
			return &l.Call, whatTime
		case "return":
			return &l.Return, whatTime
		case "outcome":
			return &l.Outcome, whatText
		case "fenced":
			return &l.Fenced, whatTime
		case "block":
			return &l.Block, whatNumber
		case "blocks":
			return &l.Blocks, whatNumber
		case "values":
			return &l.Values, "a list of texts"
		case "era":
			return &l.Era, whatNumber
		case "place":
			return &place, "an object with era and seq"
		case "text":
			return &l.Text, whatText
		}
		return nil, ""
	}); err != nil || place == nil {
		return err
	}
	l.Place = &block.Position{}
	var era, seq bool
	if err := fields(*place, func(name string) (any, string) {
		switch name {
		case "era":
			era = true
			return &l.Place.Era, "a whole number"
		case "seq":
			seq = true
			return &l.Place.Seq, "a whole number"
		}
		return nil, ""
	}); err != nil || !era || !seq {
		return fieldError{"place", "it is not an object with era and seq and nothing else"}
	}
	return nil
}

// count returns how many blocks l is about.
func (l *line) count() int {
	if l.Blocks != nil {
		return int(*l.Blocks)
	}
	return max(1, len(l.Values))
}

// end returns when l returned or was fenced; its call where it did neither.
func (l *line) end() int64 {
	switch {
	case l.Return != nil:
		return *l.Return
	case l.Fenced != nil:
		return *l.Fenced
	}
	return *l.Call
}

// check refuses what no recorder can mean.
func (l *line) check() error {
	kind, known := kindOf(l.Kind)
	switch {
	case l.Kind == "":
		return fieldError{"kind", "it is missing"}
	case !known && l.Kind != faultKind:
		return fieldError{"kind", fmt.Sprintf("%q is none of read, write, write+fua, zero, flush, attach, power loss and fault", l.Kind)}
	case l.Call == nil:
		return fieldError{"call", "it is missing"}
	}
	for _, at := range []struct {
		name  string
		value *int64
	}{{"call", l.Call}, {"return", l.Return}, {"fenced", l.Fenced}} {
		switch {
		case at.value == nil:
		case *at.value < 0 || *at.value > timeMax:
			return fieldError{at.name, fmt.Sprintf("%d is not from 0 to 2^62", *at.value)}
		case *at.value < *l.Call:
			return fieldError{at.name, fmt.Sprintf("%d is before the call at %d", *at.value, *l.Call)}
		}
	}
	if err := l.checkFields(kind); err != nil {
		return err
	}
	if kind == 0 || kind == Attach || kind == PowerLoss {
		return nil
	}
	if err := l.checkOutcome(); err != nil {
		return err
	}
	return l.checkBlocks(kind)
}

// checkFields says which fields a kind does not have, and which it needs. Kind
// 0 is a fault.
func (l *line) checkFields(kind Kind) error {
	operation := kind != 0 && kind != Attach && kind != PowerLoss
	blocks := operation && kind != Flush
	for _, f := range []struct {
		name             string
		given, may, must bool
	}{
		{"client", l.Client != 0, operation, false},
		{"return", l.Return != nil, operation || kind == 0, false},
		{"outcome", l.Outcome != "", operation, operation},
		{"fenced", l.Fenced != nil, operation, false},
		{"block", l.Block != nil, blocks, blocks},
		{"blocks", l.Blocks != nil, blocks, false},
		{"values", l.Values != nil, blocks && kind != Zero, false},
		{"era", l.Era != nil, operation || kind == Attach, kind == Attach},
		{"place", l.Place != nil, operation, false},
		{"text", l.Text != nil, kind == 0, kind == 0},
	} {
		switch {
		case f.given && !f.may:
			return fieldError{f.name, "a line of kind " + l.Kind + " has none"}
		case f.must && !f.given:
			return fieldError{f.name, "it is missing"}
		}
	}
	return nil
}

func (l *line) checkOutcome() error {
	switch l.Outcome {
	case outcomeOK, outcomeFailed:
		if l.Return == nil {
			return fieldError{"return", "it is missing, with outcome " + l.Outcome}
		}
		if l.Fenced != nil {
			return fieldError{"fenced", "only an operation of unknown outcome is fenced"}
		}
	case outcomeUnknown:
		if l.Return != nil {
			return fieldError{"return", "what returned has an outcome: ok or failed"}
		}
	default:
		return fieldError{"outcome", fmt.Sprintf("%q is none of ok, failed and unknown", l.Outcome)}
	}
	return nil
}

func (l *line) checkBlocks(kind Kind) error {
	valued := kind == Write || kind == WriteFUA || kind == Read && l.Outcome == outcomeOK
	switch {
	case kind == Flush:
		return nil
	case valued && len(l.Values) == 0:
		return fieldError{"values", "it is missing: one value per block"}
	case !valued && l.Values != nil:
		return fieldError{"values", "what did not succeed has read nothing"}
	case valued && l.Blocks != nil:
		return fieldError{"blocks", "where there are values they say how many"}
	case l.Blocks != nil && *l.Blocks == 0:
		return fieldError{"blocks", "at least one block is meant"}
	case l.count() > lineBlocks:
		return fieldError{"blocks", fmt.Sprintf("%d are too many for one operation, at most %d go", l.count(), lineBlocks)}
	case *l.Block > blocksMax-lineBlocks:
		return fieldError{"block", fmt.Sprintf("%d is too far: the last one is %d", *l.Block, uint32(blocksMax-lineBlocks))}
	}
	for _, text := range l.Values {
		_, err := valueOf(text)
		if err != nil && (kind != Read || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrMisplaced)) {
			return fieldError{"values", err.Error()}
		}
	}
	return nil
}

func kindOf(text string) (Kind, bool) {
	for k := Read; k <= Attach; k++ {
		if k.String() == text {
			return k, true
		}
	}
	return 0, false
}
