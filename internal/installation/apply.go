// Package installation puts the objects of config/install into a cluster, waits
// until they work and removes them again.
//
// Deciding what is not ready, and why, is pure (ready.go); this file and wait.go
// do the I/O.
package installation

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldManager owns the fields that an installation sets.
const fieldManager = "podkeep-cli"

// kindRetryInterval is how often an object is tried again whose definition the
// API server does not serve yet.
const kindRetryInterval = 250 * time.Millisecond

// kindRetryTimeout bounds that: a new definition is served within a second or two.
const kindRetryTimeout = 30 * time.Second

// Installer changes one cluster.
type Installer struct {
	Client client.Client
	Out    io.Writer // one line per object

	// KeepSecrets lists Secrets whose content is never replaced once they exist:
	// the repository password, without which no backup can be read.
	KeepSecrets []string
}

// Apply creates or updates the objects, in order.
func (i Installer) Apply(ctx context.Context, objects []client.Object) error {
	for _, obj := range objects {
		verb, err := i.applyOne(ctx, obj)
		if err != nil {
			return fmt.Errorf("applying %s: %w", describe(obj), err)
		}
		fmt.Fprintf(i.Out, "%s: %s\n", describe(obj), verb)
	}
	return nil
}

func (i Installer) applyOne(ctx context.Context, obj client.Object) (string, error) {
	if s, ok := obj.(*corev1.Secret); ok && slices.Contains(i.KeepSecrets, s.Name) {
		return i.createSecret(ctx, s)
	}
	u, err := applyConfiguration(obj)
	if err != nil {
		return "", err
	}
	err = wait.PollUntilContextTimeout(ctx, kindRetryInterval, kindRetryTimeout, true, func(ctx context.Context) (bool, error) {
		err := i.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u.DeepCopy()), client.FieldOwner(fieldManager), client.ForceOwnership)
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	return "applied", err
}

func (i Installer) createSecret(ctx context.Context, s *corev1.Secret) (string, error) {
	err := i.Client.Create(ctx, s.DeepCopy())
	if apierrors.IsAlreadyExists(err) {
		return "kept", nil
	}
	return "created", err
}

// applyConfiguration drops what a server-side apply must not claim.
func applyConfiguration(obj client.Object) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("converting: %w", err)
	}
	u := &unstructured.Unstructured{Object: m}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return u, nil
}

// Remove deletes the objects in reverse order. Definitions and the namespace
// are deleted only when their kinds are not in keep.
func (i Installer) Remove(ctx context.Context, objects []client.Object, keep ...string) error {
	var failures *multierror.Error // each object is tried, whatever became of the others
	for _, obj := range slices.Backward(objects) {
		if slices.Contains(keep, obj.GetObjectKind().GroupVersionKind().Kind) {
			continue
		}
		switch err := i.Client.Delete(ctx, obj); {
		case err == nil:
			fmt.Fprintf(i.Out, "%s: deleted\n", describe(obj))
		case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		default:
			failures = multierror.Append(failures, fmt.Errorf("deleting %s: %w", describe(obj), err))
		}
	}
	return failures.ErrorOrNil()
}

// Definitions returns the names of the custom resource definitions in objects.
func Definitions(objects []client.Object) []string {
	var names []string
	for _, obj := range objects {
		if d, ok := obj.(*apiextensionsv1.CustomResourceDefinition); ok {
			names = append(names, d.Name)
		}
	}
	return names
}

func describe(obj client.Object) string {
	return obj.GetObjectKind().GroupVersionKind().Kind + "/" + obj.GetName()
}
