package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// objectsPerNamespace is how many objects share a namespace: 20 000 are in 500.
const objectsPerNamespace = 40

// objectsOfCluster are made in each namespace by Kubernetes: the namespace itself,
// a service account and the certificate of the API server.
const objectsOfCluster = 3

// scaleSample is one backup of many objects.
type scaleSample struct {
	objects, items int
	took           time.Duration
	cpu            time.Duration // of the server
	peakBytes      int64         // of the server
	lists          []listCount   // by how often, most first
}

// listCount is how often the server has listed a kind.
type listCount struct {
	resource string
	lists    int
	pages    int // further requests for these lists
}

// measureObjects backs up namespaces without pods: the smallest number of objects
// first, then more of them in more namespaces.
func (s *scale) measureObjects(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.removeNamespaces(context.WithoutCancel(ctx))) }()
	var samples []scaleSample
	made := 0
	for _, objects := range s.objects {
		namespaces := (objects + objectsPerNamespace - 1) / objectsPerNamespace
		s.progress("scale: making %d objects in %d namespaces", objects, namespaces)
		if err := each(ctx, made, namespaces, s.fillNamespace); err != nil {
			return fmt.Errorf("making objects: %w", err)
		}
		made = namespaces
		sample, err := s.backUpObjects(ctx, namespaces)
		if err != nil {
			return err
		}
		s.progress("scale: %d items in %.1f s, peak %.0f MB", sample.items, sample.took.Seconds(), float64(sample.peakBytes)/megabytes)
		samples = append(samples, sample)
	}
	for _, sample := range samples {
		s.report.add(sample.rows()...)
	}
	if first, last := samples[0], samples[len(samples)-1]; len(samples) > 1 {
		growth := (last.cpu.Seconds() / float64(last.items)) / (first.cpu.Seconds() / float64(first.items))
		s.report.add(row{
			what:     fmt.Sprintf("processor time per item, %d against %d", last.items, first.items),
			measured: fmt.Sprintf("%.2f ms", 1000*last.cpu.Seconds()/float64(last.items)), yardstick: fmt.Sprintf("%.2f ms", 1000*first.cpu.Seconds()/float64(first.items)),
			ratio: fmt.Sprintf("%.2f", growth), budget: fmt.Sprintf("≤ %.0f ×", scaleMostGrowth), verdict: judge(limit{growth, scaleMostGrowth}),
		})
	}
	return nil
}

func (s *scale) namespace(i int) string { return fmt.Sprintf("%s-%04d", s.run, i) }

// fillNamespace makes one namespace and what is in it, of three kinds and about
// the size of what people have.
func (s *scale) fillNamespace(ctx context.Context, i int) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace(i), Labels: s.labels()}}
	if err := s.cluster.Client.Create(ctx, ns); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	text := strings.Repeat("some setting = some value\n", 20)
	for n := range objectsPerNamespace - objectsOfCluster {
		meta := metav1.ObjectMeta{Namespace: ns.Name, Name: fmt.Sprintf("object-%02d", n), Labels: map[string]string{"app": "bench"}}
		var o client.Object
		switch n % 3 {
		case 0:
			o = &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"settings": text}}
		case 1:
			o = &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"settings": text}}
		default:
			o = &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list"}}}}
		}
		if err := s.cluster.Client.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// backUpObjects backs up the namespaces of this run, and no others.
func (s *scale) backUpObjects(ctx context.Context, namespaces int) (sample scaleSample, err error) {
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: fmt.Sprintf("%s-%d", s.run, namespaces)},
		Spec:       velerov1.BackupSpec{IncludedNamespaces: []string{s.run + "-*"}},
	}
	defer func() { err = errors.Join(err, s.removeBackup(context.WithoutCancel(ctx), b)) }()
	before, err := s.readCosts(ctx)
	if err != nil {
		return sample, err
	}
	if err := resetPeak(s.server); err != nil {
		return sample, err
	}
	start := time.Now()
	if err := s.cluster.Client.Create(ctx, b); err != nil {
		return sample, err
	}
	if err := s.finished(ctx, b); err != nil {
		return sample, err
	}
	took := time.Since(start)
	after, err := s.readCosts(ctx)
	if err != nil {
		return sample, err
	}
	sample = scaleSample{
		objects: namespaces * objectsPerNamespace, items: b.Status.Progress.ItemsBackedUp, took: took,
		cpu: after.cpu - before.cpu, peakBytes: after.memory.peak,
		lists: listsBetween(before.metrics, after.metrics),
	}
	if sample.items < sample.objects {
		return sample, fmt.Errorf("backup %s has %d items, not %d", b.Name, sample.items, sample.objects)
	}
	return sample, nil
}

// listsBetween counts the lists of each kind, most first. podkeep's own kinds are
// left out, which its reconcilers list to see where they stand.
func listsBetween(before, after serverMetrics) []listCount {
	var lists []listCount
	for resource, n := range after.lists {
		if n -= before.lists[resource]; n > 0 && !strings.HasSuffix(resource, "."+velerov1.SchemeGroupVersion.Group) {
			lists = append(lists, listCount{resource: resource, lists: n, pages: after.pages[resource] - before.pages[resource]})
		}
	}
	slices.SortFunc(lists, func(a, b listCount) int {
		return cmp.Or(cmp.Compare(b.lists, a.lists), cmp.Compare(b.pages, a.pages), cmp.Compare(a.resource, b.resource))
	})
	return lists
}

func (s scaleSample) rows() []row {
	what := fmt.Sprintf("back up %d objects in %d namespaces", s.items, s.objects/objectsPerNamespace)
	most, requests := 0, []string{}
	if len(s.lists) > 0 {
		most = s.lists[0].lists
	}
	for _, l := range s.lists[:min(5, len(s.lists))] {
		requests = append(requests, fmt.Sprintf("%s %d and %d pages", l.resource, l.lists, l.pages))
	}
	return []row{
		{
			what: what, measured: fmt.Sprintf("%.1f s", s.took.Seconds()),
			detail: fmt.Sprintf("processor %.1f s of the server", s.cpu.Seconds()),
		},
		{
			what: what + ", server's peak memory", measured: fmt.Sprintf("%.0f MB", float64(s.peakBytes)/megabytes),
			budget: fmt.Sprintf("≤ %.0f MB", scaleMostBytes/megabytes), verdict: judge(limit{float64(s.peakBytes), scaleMostBytes}),
		},
		{
			what: what + ", lists of one kind", measured: fmt.Sprintf("%d at most", most),
			budget: fmt.Sprintf("≤ %d", scaleMostLists), verdict: judge(limit{float64(most), scaleMostLists}),
			detail: "of the server: " + strings.Join(requests, ", "),
		},
	}
}
