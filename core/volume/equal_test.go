package volume_test

import (
	"reflect"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestSpecsAreEqualOnlyWithAllFieldsEqual(t *testing.T) {
	full := func() volume.Spec {
		return volume.Spec{Name: "db", Nodes: []string{"a"}, Zones: []string{"z"}, Labels: map[string]string{"k": "v"}}
	}
	a, b := full(), full()
	if !a.Equal(&b) || a.Nodes == nil {
		t.Errorf("%+v and %+v are not equal", a, b)
	}
	empty := volume.Spec{Nodes: []string{}, Labels: map[string]string{}}
	if !empty.Equal(&volume.Spec{}) {
		t.Error("no list and an empty list are not equal")
	}
	for i := range reflect.TypeFor[volume.Spec]().NumField() {
		b := full()
		field := reflect.ValueOf(&b).Elem().Field(i)
		switch field.Kind() {
		case reflect.String:
			field.SetString("other")
		case reflect.Int, reflect.Int64:
			field.SetInt(7)
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Slice:
			field.Set(reflect.ValueOf([]string{"other"}))
		case reflect.Map:
			field.Set(reflect.ValueOf(map[string]string{"k": "other"}))
		case reflect.Array:
			field.Index(0).SetUint(7)
		default:
			t.Fatalf("what is a %v?", field.Kind())
		}
		if a.Equal(&b) {
			t.Errorf("equal although %s differs", reflect.TypeFor[volume.Spec]().Field(i).Name)
		}
	}
}
