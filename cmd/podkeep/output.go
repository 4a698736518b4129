package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// Formats of --output.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputYAML  = "yaml"
)

func checkOutput(output string, allowed ...string) error {
	if slices.Contains(allowed, output) {
		return nil
	}
	return fmt.Errorf("--output: Unsupported value: %q: supported values: %s", output, strings.Join(allowed, ", "))
}

// printObject prints an object or a list as JSON or YAML, without the fields
// that are of no use to people. As in Velero, a list of one object is printed as
// that object.
func printObject(w io.Writer, scheme *runtime.Scheme, obj runtime.Object, output string) error {
	objects := []runtime.Object{obj}
	if meta.IsListType(obj) {
		var err error
		if objects, err = meta.ExtractList(obj); err != nil {
			return fmt.Errorf("reading a list: %w", err)
		}
	}
	for _, o := range objects {
		if err := prepareForPrint(scheme, o); err != nil {
			return err
		}
	}
	if len(objects) == 1 {
		return printValue(w, objects[0], output)
	}
	if err := meta.SetList(obj, objects); err != nil {
		return fmt.Errorf("writing a list: %w", err)
	}
	if err := setKind(scheme, obj); err != nil {
		return err
	}
	return printValue(w, obj, output)
}

func prepareForPrint(scheme *runtime.Scheme, obj runtime.Object) error {
	if o, ok := obj.(client.Object); ok {
		o.SetManagedFields(nil)
	}
	return setKind(scheme, obj)
}

// setKind fills in what typed clients leave empty.
func setKind(scheme *runtime.Scheme, obj runtime.Object) error {
	gvk, err := apiutil.GVKForObject(obj, scheme)
	if err != nil {
		return fmt.Errorf("naming the kind of an object: %w", err)
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	return nil
}

// printValue prints JSON with an indent of 4 and with "<none>" as it is, as Velero
// does, or YAML.
func printValue(w io.Writer, value any, output string) error {
	if output == outputYAML {
		data, err := yaml.Marshal(value)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("encoding as %s: %w", output, err)
	}
	return nil
}
