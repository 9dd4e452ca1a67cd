package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
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

// badParameter says which parameter is not as the document has it.
func badParameter(err error) error {
	return invalidRequest("%s", strings.Replace(err.Error(), "Invalid format for parameter", "parameter", 1))
}

// looksAtAll refuses what the operation would not look at: a misspelt parameter
// must not be as good as none.
func looksAtAll(next api.StrictHandlerFunc, _ string) api.StrictHandlerFunc {
	return func(c *gin.Context, request any) (any, error) {
		given, err := url.ParseQuery(c.Request.URL.RawQuery)
		if err != nil {
			return nil, invalidRequest("the parameters cannot be read: %v", err)
		}
		if _, takesBody := reflect.TypeOf(request).FieldByName("Body"); !takesBody && c.Request.ContentLength != 0 {
			return nil, invalidRequest("%s of %s takes no body", c.Request.Method, c.Request.URL.Path)
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
