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
	noticesEveryField(t, full, (*volume.Spec).Equal)
}

func TestNodesAreEqualOnlyWithAllFieldsEqual(t *testing.T) {
	full := func() volume.Node { return volume.Node{Name: "a", Labels: map[string]string{"k": "v"}} }
	noticesEveryField(t, full, (*volume.Node).Equal)
}

// noticesEveryField changes one field after the other.
func noticesEveryField[T any](t *testing.T, full func() T, equal func(a, b *T) bool) {
	t.Helper()
	a, same := full(), full()
	if !equal(&a, &same) {
		t.Errorf("%+v and %+v are not equal", a, same)
	}
	for i := range reflect.TypeFor[T]().NumField() {
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
		if equal(&a, &b) {
			t.Errorf("equal although %s differs", reflect.TypeFor[T]().Field(i).Name)
		}
	}
}
