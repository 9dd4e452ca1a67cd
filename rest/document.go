package rest

import (
	"bytes"
	"context"
	_ "embed"

	"github.com/lagan-storage/lagan/rest/api"
)

// document is the source of rest/api.
//
//go:embed openapi.yaml
var document []byte

// GetDocument implements api.StrictServerInterface.
func (s *server) GetDocument(context.Context, api.GetDocumentRequestObject) (api.GetDocumentResponseObject, error) {
	return api.GetDocument200ApplicationVndOaiOpenapiResponse{Body: bytes.NewReader(document), ContentLength: int64(len(document))}, nil
}
