package rest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (s *server) listVolumes(c *gin.Context) {
	all, err := s.Volumes.Volumes(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	list := api.List[api.Volume]{Items: []api.Volume{}}
	for i := range all {
		list.Items = append(list.Items, volumeOf(&all[i]))
	}
	c.JSON(http.StatusOK, list)
}

func (s *server) getVolume(c *gin.Context) {
	report, err := s.Volumes.Volume(c.Request.Context(), c.Param("name"))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, volumeOf(&report))
}

func (s *server) putVolume(c *gin.Context) {
	spec, err := readSpec(c)
	dryRun, flagErr := queryFlag(c, "dry_run")
	if err = errors.Join(err, flagErr); err != nil {
		s.fail(c, err)
		return
	}
	status := http.StatusOK
	if _, err := s.Volumes.Volume(c.Request.Context(), spec.Name); errors.Is(err, volume.ErrVolumeNotFound) && !dryRun {
		status = http.StatusCreated // unless somebody else makes it right now
	}
	report, placement, err := s.Volumes.Create(c.Request.Context(), spec, dryRun)
	if err != nil {
		s.fail(c, err)
		return
	}
	answer := volumeOf(&report)
	answer.Placement = placement
	c.JSON(status, answer)
}

// readSpec reads the body {"spec": {…}}. The specification's one parser judges
// the options, so that they mean the same on every face.
func readSpec(c *gin.Context) (volume.Spec, error) {
	var body struct {
		Spec map[string]json.RawMessage `json:"spec"`
	}
	if err := readBody(c, &body); err != nil {
		return volume.Spec{}, err
	}
	options := map[string]string{"name": c.Param("name")}
	for key, raw := range body.Spec {
		text, err := optionText(raw)
		if err != nil {
			return volume.Spec{}, invalidRequest("spec.%s: %s", key, err)
		}
		if key == "name" && text != options["name"] {
			return volume.Spec{}, invalidRequest("spec.name is %q, but the address says %q", text, options["name"])
		}
		options[key] = text
	}
	return volume.ParseOptions(options)
}

// optionText writes a JSON value as an option on a command line: numbers as they
// are, lists and objects separated by commas.
func optionText(raw json.RawMessage) (string, error) {
	var text string
	var number json.Number
	var list []string
	var object map[string]string
	switch {
	case json.Unmarshal(raw, &text) == nil && string(raw) != "null":
		return text, nil
	case json.Unmarshal(raw, &number) == nil && string(raw) != "null":
		return number.String(), nil
	case json.Unmarshal(raw, &list) == nil && string(raw) != "null":
	case json.Unmarshal(raw, &object) == nil && string(raw) != "null":
		for key, value := range object {
			list = append(list, key+"="+value)
		}
	default:
		return "", errors.New("want a string, a number, a list of strings or an object of strings")
	}
	for _, entry := range list {
		if strings.ContainsAny(entry, ",+") {
			return "", errors.New("an entry has a ',' or '+' in it: " + strconv.Quote(entry))
		}
	}
	return strings.Join(list, ","), nil
}

// readBody reads one JSON object and nothing else; an empty body is an empty object.
func readBody(c *gin.Context, body any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, bodyBytesMax))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(body)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return invalidRequest("the body cannot be read: %v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return invalidRequest("the body goes on after its JSON object")
	}
	return nil
}

// queryFlag reads a parameter that is on or off.
func queryFlag(c *gin.Context, name string) (bool, error) {
	text, given := c.GetQuery(name)
	if !given {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, invalidRequest("parameter %s is %q: want 1 or 0", name, text)
	}
	return on, nil
}

func queryBytes(c *gin.Context, name string) (int64, error) {
	text, given := c.GetQuery(name)
	if !given {
		return 0, nil
	}
	return volume.ParseSize(text)
}

func (s *server) deleteVolume(c *gin.Context) {
	if err := s.Volumes.Delete(c.Request.Context(), c.Param("name")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *server) putAttachment(c *gin.Context) {
	var body api.Attach
	if err := readBody(c, &body); err != nil {
		s.fail(c, err)
		return
	}
	report, err := s.Volumes.Attach(c.Request.Context(), c.Param("name"), volume.AttachOptions{
		Force: body.Force, Device: body.Device, Mount: body.Mount,
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, volumeOf(&report))
}

func (s *server) deleteAttachment(c *gin.Context) {
	force, err := queryFlag(c, "force")
	unmount, flagErr := queryFlag(c, "unmount")
	if err = errors.Join(err, flagErr); err == nil {
		err = s.Volumes.Detach(c.Request.Context(), c.Param("name"), volume.DetachOptions{Force: force, Unmount: unmount})
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *server) deleteMount(c *gin.Context) {
	if err := s.Volumes.Unmount(c.Request.Context(), c.Param("name"), c.Query("target")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}
