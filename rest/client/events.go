package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/lagan-storage/lagan/rest/api"
)

// eventBytesMax bounds one line of a stream of events: it has one event.
const eventBytesMax = 1 << 20

// Events returns what happened after the event of that number, oldest first and
// limit at most; 0 is what the node thinks fit.
func (c *Client) Events(ctx context.Context, after uint64, limit int) ([]api.Event, error) {
	p := api.ListEventsParams{After: after}
	if limit > 0 {
		p.Limit = &limit
	}
	r, err := c.api.ListEventsWithResponse(ctx, &p)
	list, err := answer(r, err, func(r *api.ListEventsResponse) *api.EventList { return r.JSON200 })
	return list.Items, err
}

// Follow calls told with every event after the one of that number, as it happens,
// until ctx ends, told returns an error or the node breaks off. It never returns
// nil.
func (c *Client) Follow(ctx context.Context, after uint64, told func(api.Event) error) error {
	response, err := c.api.ListEvents(ctx, &api.ListEventsParams{After: after, Follow: true})
	if err != nil {
		return err
	}
	err = readEvents(response, told)
	return errors.Join(err, response.Body.Close())
}

// readEvents reads a stream of events as a node writes it: an event's data is one
// line, after the line with its kind.
func readEvents(response *http.Response, told func(api.Event) error) error {
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, eventBytesMax)
	problem := false
	for lines.Scan() {
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch {
		case string(field) == "event":
			problem = string(value) == "problem"
		case string(field) == "data" && problem:
			response.Header.Set("Content-Type", api.ProblemType)
			return problemError(response, value)
		case string(field) == "data":
			var e api.Event
			if err := json.Unmarshal(value, &e); err != nil {
				return fmt.Errorf("read an event: %w", err)
			}
			if err := told(e); err != nil {
				return err
			}
		}
	}
	return errors.Join(errors.New("the node broke off the stream of events: ask again"), lines.Err())
}
