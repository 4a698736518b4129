package main

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/internal/coverage"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// pageSize is how many objects are read at once. Of each page only what coverage
// keeps stays in memory.
const pageSize = 500

// around is what somebody sees of a cluster.
type around struct {
	cluster

	facts   coverage.Facts
	notSeen []string

	// incomplete says that volumes are missing because of what is not seen.
	incomplete bool
}

// lookAround gathers the facts with the rights of the user: one list of each kind,
// or one per namespace that is named. What is forbidden is noted; without podkeep's
// own objects nothing can be said.
func (t cluster) lookAround(ctx context.Context, now time.Time, namespaces []string) (*around, error) {
	a := &around{cluster: t, facts: coverage.Facts{
		Now: now, InstallNamespace: t.namespace, Namespaces: map[string]coverage.Namespace{},
		Volumes: map[string]*coverage.PersistentVolume{}, Policies: map[string]coverage.Policy{},
	}}
	if err := a.ownObjects(ctx); err != nil {
		return nil, err
	}
	steps := []func(context.Context, []string) error{a.serverDefault, a.policies, a.namespaces, a.pods, a.volumes, a.snapshots}
	for _, step := range steps {
		if err := step(ctx, namespaces); err != nil {
			return nil, t.explain(ctx, err, schedules, "")
		}
	}
	return a, nil
}

// each visits all objects of a list, page by page. extract returns those of a page
// that was read into the list.
func (a *around) each(ctx context.Context, list client.ObjectList, namespace string, visit func()) error {
	for next := ""; ; {
		list.SetContinue("")
		err := a.List(ctx, list, client.InNamespace(namespace), client.Limit(pageSize), client.Continue(next))
		if err != nil {
			return err
		}
		visit()
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}

func (a *around) ownObjects(ctx context.Context) error {
	schedulesPage, backupsPage, volumesPage := &velerov1.ScheduleList{}, &velerov1.BackupList{}, &velerov1.PodVolumeBackupList{}
	err := a.each(ctx, schedulesPage, a.namespace, func() { a.facts.Schedules = append(a.facts.Schedules, schedulesPage.Items...) })
	if err != nil {
		return a.explain(ctx, err, schedules, "")
	}
	err = a.each(ctx, backupsPage, a.namespace, func() { a.facts.Backups = append(a.facts.Backups, backupsPage.Items...) })
	if err == nil {
		err = a.each(ctx, volumesPage, a.namespace, func() { a.facts.PodVolumeBackups = append(a.facts.PodVolumeBackups, volumesPage.Items...) })
	}
	return a.explain(ctx, err, backups, "")
}

// miss notes what is forbidden, and returns any other error.
func (a *around) miss(err error, what, meaning string) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	a.notSeen = append(a.notSeen, what+": "+meaning)
	return nil
}

// defaultFlag is the server's flag for volumes that nobody decides on.
const defaultFlag = "default-volumes-to-fs-backup"

// serverDefault reads the arguments of the server.
func (a *around) serverDefault(ctx context.Context, _ []string) error {
	d := &appsv1.Deployment{}
	err := a.Get(ctx, client.ObjectKey{Namespace: a.namespace, Name: install.ServerName}, d)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return a.miss(err, "deployment "+install.ServerName, "the server is taken to run without --"+defaultFlag)
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, arg := range c.Args {
			a.facts.ServerDefault = boolArgument(arg, defaultFlag, a.facts.ServerDefault)
		}
	}
	return nil
}

// policies reads the ConfigMaps that schedules name.
func (a *around) policies(ctx context.Context, _ []string) error {
	for i := range a.facts.Schedules {
		ref := a.facts.Schedules[i].Spec.Template.ResourcePolicy
		if ref == nil {
			continue
		}
		config := &corev1.ConfigMap{}
		err := a.Get(ctx, client.ObjectKey{Namespace: a.namespace, Name: ref.Name}, config)
		switch {
		case err == nil:
			a.facts.Policies[ref.Name] = coverage.NewPolicy(config)
		case apierrors.IsNotFound(err):
			a.facts.Policies[ref.Name] = coverage.NewPolicy(nil)
		default:
			a.facts.Policies[ref.Name] = coverage.Policy{Policies: &resourcepolicy.Policies{}}
			if err := a.miss(err, "configmap "+ref.Name, "its resource policies are not applied"); err != nil {
				return err
			}
		}
	}
	return nil
}

// namespaces reads all namespaces, or those that are named.
func (a *around) namespaces(ctx context.Context, names []string) error {
	const meaning = "their labels are not applied"
	kind := corev1.SchemeGroupVersion.WithKind("Namespace")
	for _, name := range names {
		n := &metav1.PartialObjectMetadata{}
		n.SetGroupVersionKind(kind)
		err := a.Get(ctx, client.ObjectKey{Name: name}, n)
		switch {
		case apierrors.IsNotFound(err):
			return fmt.Errorf("namespace %q does not exist; list namespaces with: kubectl get namespaces", name)
		case err != nil:
			if err := a.miss(err, "namespace "+name, meaning); err != nil {
				return err
			}
		}
		a.facts.Namespaces[name] = coverage.NewNamespace(n)
	}
	if len(names) > 0 {
		return nil
	}
	page := &metav1.PartialObjectMetadataList{}
	page.SetGroupVersionKind(kind.GroupVersion().WithKind("NamespaceList"))
	err := a.each(ctx, page, "", func() {
		for i := range page.Items {
			a.facts.Namespaces[page.Items[i].Name] = coverage.NewNamespace(&page.Items[i])
		}
	})
	return a.miss(err, "namespaces", meaning)
}

// scopes are the namespaces to list in; "" is all.
func scopes(names []string) []string {
	if len(names) == 0 {
		return []string{""}
	}
	return names
}

// in says where something is not seen.
func in(what, namespace string) string {
	if namespace == "" {
		return what + " of all namespaces (name those that you may read)"
	}
	return what + " of namespace " + namespace
}

// pods reads the pods, and without them no claims: nobody would know which of them
// are mounted.
func (a *around) pods(ctx context.Context, names []string) error {
	for _, namespace := range scopes(names) {
		page := &corev1.PodList{}
		err := a.each(ctx, page, namespace, func() {
			for i := range page.Items {
				if p := coverage.NewPod(&page.Items[i]); p != nil {
					a.facts.Pods = append(a.facts.Pods, p)
				}
			}
		})
		if err == nil {
			err = a.claims(ctx, namespace)
		}
		a.incomplete = a.incomplete || err != nil
		if err := a.miss(err, in("pods and persistentvolumeclaims", namespace), "not all volumes are shown"); err != nil {
			return err
		}
	}
	return nil
}

func (a *around) claims(ctx context.Context, namespace string) error {
	page := &corev1.PersistentVolumeClaimList{}
	return a.each(ctx, page, namespace, func() {
		for i := range page.Items {
			a.facts.Claims = append(a.facts.Claims, coverage.NewClaim(&page.Items[i]))
		}
	})
}

func (a *around) volumes(ctx context.Context, _ []string) error {
	page := &corev1.PersistentVolumeList{}
	err := a.each(ctx, page, "", func() {
		for i := range page.Items {
			a.facts.Volumes[page.Items[i].Name] = coverage.NewPersistentVolume(&page.Items[i])
		}
	})
	return a.miss(err, "persistentvolumes", "directories of nodes behind claims look like other volumes, and policies do not see capacities, classes and drivers")
}

// snapshots reads the VolumeSnapshots of a cluster that knows them, if a policy
// leaves volumes to them.
func (a *around) snapshots(ctx context.Context, names []string) error {
	if !a.leavesToSnapshots() {
		return nil
	}
	kind := schema.GroupVersionKind{Group: "snapshot.storage.k8s.io", Version: "v1", Kind: "VolumeSnapshotList"}
	for _, namespace := range scopes(names) {
		page := &unstructured.UnstructuredList{}
		page.SetGroupVersionKind(kind)
		err := a.each(ctx, page, namespace, func() {
			for i := range page.Items {
				if s, ok := coverage.NewSnapshot(&page.Items[i]); ok {
					a.facts.Snapshots = append(a.facts.Snapshots, s)
				}
			}
		})
		if meta.IsNoMatchError(err) {
			return nil
		}
		if err := a.miss(err, in("volumesnapshots", namespace), "volumes that are left to snapshots look as if they had none"); err != nil {
			return err
		}
	}
	return nil
}

func (a *around) leavesToSnapshots() bool {
	for _, p := range a.facts.Policies {
		if p.Policies == nil {
			continue
		}
		for _, v := range p.Policies.VolumePolicies {
			if v.Action.Type == resourcepolicy.ActionSnapshot {
				return true
			}
		}
	}
	return false
}
