// Package api is what the API says, made from rest/openapi.yaml by make
// generate: the values that travel, the routes and the client. By hand is only
// what the document says and the generator leaves out: that a request with a
// field that is not there is refused. rest fills the routes, rest/client calls
// them; whoever else needs the values takes them from here.
package api

import (
	"bytes"
	"encoding/json"
)

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// strictly reads an object that may have no field but those of value.
func strictly(data []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(value)
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
func (j *Join) UnmarshalJSON(data []byte) error {
	type fields Join
	return strictly(data, (*fields)(j))
}

// UnmarshalJSON implements json.Unmarshaler: unknown fields are refused.
func (t *NewToken) UnmarshalJSON(data []byte) error {
	type fields NewToken
	return strictly(data, (*fields)(t))
}
