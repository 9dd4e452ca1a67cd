package rest

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/lagan-storage/lagan/rest/api"
)

// getBlocks streams a range of a volume.
func (s *server) getBlocks(c *gin.Context) {
	offset, err := queryBytes(c, "offset")
	length, lengthErr := queryBytes(c, "length")
	if err = errors.Join(err, lengthErr); err != nil {
		s.fail(c, err)
		return
	}
	w := &answer{c: c, length: length}
	err = s.Blocks.ReadBlocks(c.Request.Context(), c.Param("name"), offset, length, w)
	switch {
	case err == nil:
		w.begin()
	case !w.begun:
		s.fail(c, err)
	default:
		panic(http.ErrAbortHandler) // a short answer must not look whole
	}
}

// answer begins the response with its first byte: until then an error can be told.
type answer struct {
	c      *gin.Context
	length int64
	begun  bool
}

func (a *answer) begin() {
	if a.begun {
		return
	}
	a.begun = true
	a.c.Header("Content-Type", "application/octet-stream")
	a.c.Header("Content-Length", strconv.FormatInt(a.length, 10))
	a.c.Status(http.StatusOK)
	a.c.Writer.WriteHeaderNow()
}

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	return a.c.Writer.Write(p)
}

// putBlocks stores the body at an offset and makes it durable.
func (s *server) putBlocks(c *gin.Context) {
	offset, err := queryBytes(c, "offset")
	if err != nil {
		s.fail(c, err)
		return
	}
	n, err := s.Blocks.WriteBlocks(c.Request.Context(), c.Param("name"), offset, c.Request.Body)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, api.Written{Bytes: n})
}
