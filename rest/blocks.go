package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/lagan-storage/lagan/rest/api"
)

// ReadBlocks implements api.StrictServerInterface.
func (s *server) ReadBlocks(ctx context.Context, r api.ReadBlocksRequestObject) (api.ReadBlocksResponseObject, error) {
	offset, err := bytesOf(r.Params.Offset)
	length, lengthErr := bytesOf(r.Params.Length)
	if err = errors.Join(err, lengthErr); err != nil {
		return nil, err
	}
	ctx = requestOf(ctx).Context()
	return content{length, func(w io.Writer) error { return s.Blocks.ReadBlocks(ctx, r.Name, offset, length, w) }}, nil
}

// content is an answer that is written as it is read: the generated one wants a
// reader, which a use case is not.
type content struct {
	length int64 // bytes
	copyTo func(w io.Writer) error
}

// VisitReadBlocksResponse implements api.ReadBlocksResponseObject.
func (a content) VisitReadBlocksResponse(w http.ResponseWriter) error {
	body := &lateBody{w: w, length: a.length}
	if err := a.copyTo(body); err != nil {
		return err
	}
	body.begin()
	return nil
}

// lateBody begins the answer with its first byte: until then an error can be told.
type lateBody struct {
	w      http.ResponseWriter
	length int64 // below 0: nobody knows
	begun  bool
}

func (b *lateBody) begin() {
	if b.begun {
		return
	}
	b.begun = true
	b.w.Header().Set("Content-Type", "application/octet-stream")
	if b.length >= 0 {
		b.w.Header().Set("Content-Length", strconv.FormatInt(b.length, 10))
	}
	b.w.WriteHeader(http.StatusOK)
}

// Write implements io.Writer.
func (b *lateBody) Write(p []byte) (int, error) {
	b.begin()
	return b.w.Write(p)
}

// WriteBlocks stores the body at an offset and makes it durable.
func (s *server) WriteBlocks(ctx context.Context, r api.WriteBlocksRequestObject) (api.WriteBlocksResponseObject, error) {
	offset, err := bytesOf(r.Params.Offset)
	if err != nil {
		return nil, err
	}
	n, err := s.Blocks.WriteBlocks(requestOf(ctx).Context(), r.Name, offset, r.Body)
	return api.WriteBlocks200JSONResponse{Bytes: n}, err
}
