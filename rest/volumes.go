package rest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// ListVolumes implements api.StrictServerInterface.
func (s *server) ListVolumes(ctx context.Context, _ api.ListVolumesRequestObject) (api.ListVolumesResponseObject, error) {
	all, err := s.Volumes.Volumes(requestOf(ctx).Context())
	return api.ListVolumes200JSONResponse{Items: itemsOf(all, volumeOf)}, err
}

// GetVolume implements api.StrictServerInterface.
func (s *server) GetVolume(ctx context.Context, r api.GetVolumeRequestObject) (api.GetVolumeResponseObject, error) {
	report, err := s.Volumes.Volume(requestOf(ctx).Context(), r.Name)
	return api.GetVolume200JSONResponse(volumeOf(&report)), err
}

// PutVolume implements api.StrictServerInterface.
func (s *server) PutVolume(ctx context.Context, r api.PutVolumeRequestObject) (api.PutVolumeResponseObject, error) {
	ctx = requestOf(ctx).Context()
	spec, err := specOf(r.Name, r.Body.Spec)
	if err != nil {
		return nil, err
	}
	_, err = s.Volumes.Volume(ctx, spec.Name)
	created := errors.Is(err, volume.ErrVolumeNotFound) && !r.Params.DryRun // unless somebody else makes it right now
	report, placement, err := s.Volumes.Create(ctx, spec, r.Params.DryRun)
	if err != nil {
		return nil, err
	}
	answer := volumeOf(&report)
	answer.Placement = placement
	if created {
		return api.PutVolume201JSONResponse(answer), nil
	}
	return api.PutVolume200JSONResponse(answer), nil
}

// specOf reads the options of a volume. The specification's one parser judges
// them, so that they mean the same on every face.
func specOf(name string, given api.VolumeOptions) (volume.Spec, error) {
	options, err := optionsOf(given)
	if err != nil {
		return volume.Spec{}, err
	}
	if text, twice := options["name"]; twice && text != name {
		return volume.Spec{}, invalidRequest("spec.name is %q, but the address says %q", text, name)
	}
	options["name"] = name
	return volume.ParseOptions(options)
}

// optionsOf writes options as on a command line.
func optionsOf(given api.VolumeOptions) (map[string]string, error) {
	options := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		text, err := optionText(given[key])
		if err != nil {
			return nil, invalidRequest("spec.%s: %s", key, err)
		}
		options[key] = text
	}
	return options, nil
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
		for _, key := range slices.Sorted(maps.Keys(object)) {
			list = append(list, key+"="+object[key])
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

// PatchVolume implements api.StrictServerInterface.
func (s *server) PatchVolume(ctx context.Context, r api.PatchVolumeRequestObject) (api.PatchVolumeResponseObject, error) {
	changes, err := optionsOf(r.Body.Spec)
	if err != nil {
		return nil, err
	}
	spec, err := volume.ParseOptions(changes)
	if err != nil {
		return nil, err
	}
	report, err := s.Volumes.Set(requestOf(ctx).Context(), r.Name, spec)
	return api.PatchVolume200JSONResponse(volumeOf(&report)), err
}

// DeleteVolume implements api.StrictServerInterface.
func (s *server) DeleteVolume(ctx context.Context, r api.DeleteVolumeRequestObject) (api.DeleteVolumeResponseObject, error) {
	return api.DeleteVolume204Response{}, s.Volumes.Delete(requestOf(ctx).Context(), r.Name, r.Params.Snapshots)
}

// PutAttachment implements api.StrictServerInterface.
func (s *server) PutAttachment(ctx context.Context, r api.PutAttachmentRequestObject) (api.PutAttachmentResponseObject, error) {
	report, err := s.Volumes.Attach(requestOf(ctx).Context(), r.Name, volume.AttachOptions{
		Force: r.Body.Force, Device: r.Body.Device, Mount: r.Body.Mount,
	})
	return api.PutAttachment200JSONResponse(volumeOf(&report)), err
}

// DeleteAttachment implements api.StrictServerInterface.
func (s *server) DeleteAttachment(ctx context.Context, r api.DeleteAttachmentRequestObject) (api.DeleteAttachmentResponseObject, error) {
	return api.DeleteAttachment204Response{}, s.Volumes.Detach(requestOf(ctx).Context(), r.Name, volume.DetachOptions{
		Force: r.Params.Force, Unmount: r.Params.Unmount,
	})
}

// PutExport implements api.StrictServerInterface.
func (s *server) PutExport(ctx context.Context, r api.PutExportRequestObject) (api.PutExportResponseObject, error) {
	snapshot, err := exportedSnapshot(r.Params.Snapshot)
	if err != nil {
		return nil, err
	}
	report, err := s.Exports.Export(requestOf(ctx).Context(), r.Name, volume.ExportOptions{Snapshot: snapshot, Force: r.Params.Force})
	return api.PutExport200JSONResponse(exportOf(report)), err
}

// DeleteExport implements api.StrictServerInterface.
func (s *server) DeleteExport(ctx context.Context, r api.DeleteExportRequestObject) (api.DeleteExportResponseObject, error) {
	snapshot, err := exportedSnapshot(r.Params.Snapshot)
	if err != nil {
		return nil, err
	}
	return api.DeleteExport204Response{}, s.Exports.Unexport(requestOf(ctx).Context(), r.Name, volume.UnexportOptions{
		Snapshot: snapshot, Force: r.Params.Force,
	})
}

// exportedSnapshot returns the snapshot that a parameter names, "" if it is left out.
func exportedSnapshot(given *string) (string, error) {
	switch {
	case given == nil:
		return "", nil
	case *given == "":
		return "", invalidRequest("parameter snapshot is empty: leave it out for the volume itself")
	}
	return *given, nil
}

// DeleteMount implements api.StrictServerInterface.
func (s *server) DeleteMount(ctx context.Context, r api.DeleteMountRequestObject) (api.DeleteMountResponseObject, error) {
	target := ""
	if r.Params.Target != nil {
		if target = *r.Params.Target; target == "" {
			return nil, invalidRequest("parameter target is empty: leave it out to unmount the volume from everywhere")
		}
	}
	return api.DeleteMount204Response{}, s.Volumes.Unmount(requestOf(ctx).Context(), r.Name, target)
}
