package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

const (
	// bodyBytesMax bounds the JSON of one request: a specification with all its
	// labels is a few KiB.
	bodyBytesMax = 1 << 20
	// streamedSuffix ends the one route whose bodies are no JSON and not bounded.
	streamedSuffix = "/blocks"
)

func invalidRequest(format string, values ...any) error {
	return &volume.Error{Kind: volume.ErrInvalidRequest, What: fmt.Sprintf(format, values...), Fix: "correct the request"}
}

// requestOf returns the request of an operation, for its context above all: the
// one that operations are called with is gin's, which serves the next request
// when this one is over, while a use case may outlive its request.
func requestOf(ctx context.Context) *http.Request {
	c, ok := ctx.(*gin.Context)
	if !ok {
		panic("rest: an operation was called by something other than the router")
	}
	return c.Request
}

// oneObject sees that what is to be read as JSON is one object and nothing else,
// and of a size that an object has. No body is an empty object.
func (s *server) oneObject(c *gin.Context) {
	method := c.Request.Method
	if method != http.MethodPut && method != http.MethodPost || strings.HasSuffix(c.FullPath(), streamedSuffix) {
		return
	}
	bytesMax := int64(bodyBytesMax)
	if c.FullPath() == joinPath {
		bytesMax = joinBytesMax
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, bytesMax))
	if err != nil {
		s.fail(c, invalidRequest("the body cannot be read: %v", err))
		return
	}
	if data = bytes.TrimSpace(data); len(data) == 0 {
		data = []byte("{}")
	}
	if err := checkObject(data); err != nil {
		s.fail(c, err)
		return
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(data))
}

func checkObject(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	var object json.RawMessage
	if err := decoder.Decode(&object); err != nil {
		return unreadableBody(err)
	}
	if object[0] != '{' {
		return invalidRequest("the body is no JSON object: %.40s", object)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return invalidRequest("the body goes on after its JSON object")
	}
	return nil
}

// unreadableBody says what of a body is not as the document has it.
func unreadableBody(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return invalidRequest("the body cannot be read: field %q is a %s, not a %s", wrong.Field, wrong.Value, wrong.Type)
	}
	return invalidRequest("the body cannot be read: %s", strings.TrimPrefix(err.Error(), "json: "))
}

// badParameter says which parameter is not as the document has it.
func badParameter(err error) error {
	return invalidRequest("%s", strings.Replace(err.Error(), "Invalid format for parameter", "parameter", 1))
}

// knownParameters refuses what the operation would not look at: a misspelt
// parameter must not be as good as none.
func knownParameters(next api.StrictHandlerFunc, _ string) api.StrictHandlerFunc {
	return func(c *gin.Context, request any) (any, error) {
		given, err := url.ParseQuery(c.Request.URL.RawQuery)
		if err != nil {
			return nil, invalidRequest("the parameters cannot be read: %v", err)
		}
		known := parametersOf(request)
		for name := range given { // any order: one is as wrong as another
			if !slices.Contains(known, name) {
				return nil, invalidRequest("there is no parameter %q here; there are: %s", name, strings.Join(known, ", "))
			}
		}
		return next(c, request)
	}
}

// parametersOf returns the names of the parameters that a request can have, as
// the generator has put them into the tags of its fields.
func parametersOf(request any) (names []string) {
	params, ok := reflect.TypeOf(request).FieldByName("Params")
	if !ok {
		return nil
	}
	for i := range params.Type.NumField() {
		if tag := params.Type.Field(i).Tag.Get("form"); tag != "" {
			name, _, _ := strings.Cut(tag, ",")
			names = append(names, name)
		}
	}
	return names
}

// bytesOf reads a parameter that is a number of bytes, 0 if it is not given.
func bytesOf(text *string) (int64, error) {
	if text == nil {
		return 0, nil
	}
	return volume.ParseSize(*text)
}
