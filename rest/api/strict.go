// Package api is what the API says, made from rest/openapi.yaml by make
// generate: the values that travel, the routes and the client. By hand is only
// what the document says and the generator leaves out: that a request with a
// field that is not there is refused. rest fills the routes, rest/client calls
// them; whoever else needs the values takes them from here.
package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// strictly reads an object that may have no field but those of value, by their
// exact names.
func strictly(data []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		return err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(data, &given); err != nil {
		return err
	}
	fields := reflect.TypeOf(value).Elem()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
		delete(given, name)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) { // a capital letter too many
		return fmt.Errorf("unknown field %q", name)
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (r *VolumeRequest) UnmarshalJSON(data []byte) error {
	type fields VolumeRequest
	return strictly(data, (*fields)(r))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (a *Attach) UnmarshalJSON(data []byte) error {
	type fields Attach
	return strictly(data, (*fields)(a))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (c *NodeChange) UnmarshalJSON(data []byte) error {
	type fields NodeChange
	return strictly(data, (*fields)(c))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (j *Join) UnmarshalJSON(data []byte) error {
	type fields Join
	return strictly(data, (*fields)(j))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (t *NewToken) UnmarshalJSON(data []byte) error {
	type fields NewToken
	return strictly(data, (*fields)(t))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (d *NewDisk) UnmarshalJSON(data []byte) error {
	type fields NewDisk
	return strictly(data, (*fields)(d))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (r *NewReplica) UnmarshalJSON(data []byte) error {
	type fields NewReplica
	return strictly(data, (*fields)(r))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (m *ReplicaMove) UnmarshalJSON(data []byte) error {
	type fields ReplicaMove
	return strictly(data, (*fields)(m))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (r *Rebalance) UnmarshalJSON(data []byte) error {
	type fields Rebalance
	return strictly(data, (*fields)(r))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (d *DiskChange) UnmarshalJSON(data []byte) error {
	type fields DiskChange
	return strictly(data, (*fields)(d))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (s *SnapshotRequest) UnmarshalJSON(data []byte) error {
	type fields SnapshotRequest
	return strictly(data, (*fields)(s))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (r *Restore) UnmarshalJSON(data []byte) error {
	type fields Restore
	return strictly(data, (*fields)(r))
}
