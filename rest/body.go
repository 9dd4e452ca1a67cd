package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
)

const (
	// bodyBytesMax bounds the JSON of one request: a specification with all its
	// labels is a few KiB.
	bodyBytesMax = 1 << 20
	// bodyDepthMax bounds how deep its objects and lists are nested: the deepest
	// of the document, the labels of a specification, is the third.
	bodyDepthMax = 8
)

// readBody sees that the body is of the kind that the route takes and, if that is
// JSON, that it is one object and nothing else, and of a size that an object has.
// No body is an empty object.
func (s *server) readBody(c *gin.Context) {
	method, stream := c.Request.Method, c.FullPath() == blocksPath
	if method != http.MethodPut && method != http.MethodPost {
		return
	}
	if err := checkMedia(c.Request, stream); err != nil {
		s.fail(c, err)
		return
	}
	if stream {
		c.Request.Body = stated{c.Request.Body}
		// The server bounds how long a request takes to come, and a stream takes long.
		_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{}) // a recorder of tests has none
		return
	}
	bytesMax := int64(bodyBytesMax)
	if c.FullPath() == joinPath {
		bytesMax = joinBytesMax
	}
	data, err := io.ReadAll(stated{http.MaxBytesReader(c.Writer, c.Request.Body, bytesMax)})
	if err != nil {
		s.fail(c, err)
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

// checkMedia refuses a body of another kind than the route takes. One that does
// not say what it is, is taken for that.
func checkMedia(r *http.Request, stream bool) error {
	want := "application/json"
	if stream {
		want = "application/octet-stream"
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return refused(http.StatusUnsupportedMediaType, "the body has the coding %.40q: send it as it is", coding)
	}
	given := r.Header.Values("Content-Type")
	if len(given) == 0 || r.ContentLength == 0 {
		return nil
	}
	media, parameters, err := mime.ParseMediaType(given[0])
	charset, hasCharset := parameters["charset"]
	if err != nil || len(given) > 1 || media != want || hasCharset && !strings.EqualFold(charset, "utf-8") {
		return refused(http.StatusUnsupportedMediaType, "the body is of the kind %.80q: send %s, and say so with Content-Type", strings.Join(given, ", "), want)
	}
	return nil
}

// stated says why a body cannot be read to its end: it never ends early without
// a reason.
type stated struct{ io.ReadCloser }

// Read implements io.Reader.
func (b stated) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil, err == io.EOF:
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, refused(http.StatusRequestTimeout, "the body did not come to its end in time")
	}
	return n, invalidRequest("the body cannot be read: %v", err)
}

func checkObject(data []byte) error {
	if !utf8.Valid(data) {
		return invalidRequest("the body cannot be read: it is not UTF-8")
	}
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
	return checkValue(json.NewDecoder(bytes.NewReader(object)), 0)
}

// checkValue refuses a value with a field that is given twice, of which the last
// would count, and one that is nested too deep. It reads one value.
func checkValue(decoder *json.Decoder, depth int) error {
	token, err := decoder.Token()
	if err != nil {
		return unreadableBody(err)
	}
	if depth++; depth > bodyDepthMax {
		return invalidRequest("the body is nested deeper than %d objects and lists", bodyDepthMax)
	}
	switch token {
	case json.Delim('{'):
		given := map[string]bool{}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return unreadableBody(err)
			}
			name, _ := key.(string) // it is checked: a key is a string
			if given[name] {
				return invalidRequest("the body has the field %.80q twice", name)
			}
			given[name] = true
			if err := checkValue(decoder, depth); err != nil {
				return err
			}
		}
	case json.Delim('['):
		for decoder.More() {
			if err := checkValue(decoder, depth); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	if _, err := decoder.Token(); err != nil { // what closes it
		return unreadableBody(err)
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
