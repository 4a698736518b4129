package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

const (
	// bundleRoot is the folder in the file.
	bundleRoot = "velero-bundle/"

	// maxLogBytes bounds the log of one container: its first part has how it was
	// started, and the container's end is in the status of its pod.
	maxLogBytes = 10 << 20

	// removed is in place of what may be secret.
	removed = "<removed>"
)

// bundle is a compressed tar file with texts. Errors of single texts are collected
// in a text of their own.
type bundle struct {
	zip      *gzip.Writer
	tar      *tar.Writer
	now      time.Time
	say      io.Writer
	problems []string
	err      error // of the file itself
}

func newBundle(w io.Writer, now time.Time, say io.Writer) *bundle {
	z := gzip.NewWriter(w)
	return &bundle{zip: z, tar: tar.NewWriter(z), now: now, say: say}
}

// add adds a text. What was written before an error stays.
func (b *bundle) add(name string, write func(io.Writer) error) {
	fmt.Fprintln(b.say, "collecting", name)
	var text bytes.Buffer
	if err := write(&text); err != nil {
		b.problems = append(b.problems, name+": "+err.Error())
	}
	if text.Len() > 0 {
		b.write(name, text.Bytes())
	}
}

func (b *bundle) write(name string, data []byte) {
	if b.err != nil {
		return
	}
	header := &tar.Header{Name: bundleRoot + name, Mode: 0o600, Size: int64(len(data)), ModTime: b.now, Typeflag: tar.TypeReg}
	if b.err = b.tar.WriteHeader(header); b.err == nil {
		_, b.err = b.tar.Write(data)
	}
}

func (b *bundle) close() error {
	if len(b.problems) > 0 {
		b.write("errors.txt", []byte(strings.Join(b.problems, "\n")+"\n"))
	}
	return errors.Join(b.err, b.tar.Close(), b.zip.Close())
}

// bundleLists are the kinds whose objects of the install namespace are collected,
// by the names of their files. There are no Secrets among them, and no ConfigMaps
// but podkeep's own.
func bundleLists() map[string]client.ObjectList {
	return map[string]client.ObjectList{
		"backups":                 &velerov1.BackupList{},
		"restores":                &velerov1.RestoreList{},
		"schedules":               &velerov1.ScheduleList{},
		"backupstoragelocations":  &velerov1.BackupStorageLocationList{},
		"volumesnapshotlocations": &velerov1.VolumeSnapshotLocationList{},
		"backuprepositories":      &velerov1.BackupRepositoryList{},
		"podvolumebackups":        &velerov1.PodVolumeBackupList{},
		"podvolumerestores":       &velerov1.PodVolumeRestoreList{},
		"deletebackuprequests":    &velerov1.DeleteBackupRequestList{},
		"downloadrequests":        &velerov1.DownloadRequestList{},
		"serverstatusrequests":    &velerov1.ServerStatusRequestList{},
		"deployments":             &appsv1.DeploymentList{},
		"daemonsets":              &appsv1.DaemonSetList{},
		"jobs":                    &batchv1.JobList{},
		"pods":                    &corev1.PodList{},
		"events":                  &corev1.EventList{},
	}
}

func (s *session) collectObjects(ctx context.Context, t cluster, b *bundle) {
	for name, list := range sortedByKey(bundleLists()) {
		b.add("objects/"+name+".json", func(w io.Writer) error {
			if err := t.List(ctx, list, client.InNamespace(t.namespace)); err != nil {
				return err
			}
			objects, err := objectsOf(list)
			if err != nil || len(objects) == 0 {
				return err
			}
			for _, obj := range objects {
				withoutSecrets(obj)
			}
			if err := setKind(t.Scheme(), list); err != nil {
				return err
			}
			return printValue(w, list, outputJSON)
		})
	}
}

// withoutSecrets takes out of an object what lets somebody in.
func withoutSecrets(obj client.Object) {
	obj.SetManagedFields(nil)
	annotations := obj.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	obj.SetAnnotations(annotations)
	switch o := obj.(type) {
	case *velerov1.DownloadRequest:
		if o.Status.DownloadURL != "" {
			o.Status.DownloadURL = removed
		}
	case *appsv1.Deployment:
		withoutValues(&o.Spec.Template.Spec)
	case *appsv1.DaemonSet:
		withoutValues(&o.Spec.Template.Spec)
	case *batchv1.Job:
		withoutValues(&o.Spec.Template.Spec)
	case *corev1.Pod:
		withoutValues(&o.Spec)
	}
}

func withoutValues(spec *corev1.PodSpec) {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			for j := range containers[i].Env {
				if containers[i].Env[j].Value != "" {
					containers[i].Env[j].Value = removed
				}
			}
		}
	}
}

func (s *session) collectPodLogs(ctx context.Context, t cluster, b *bundle) {
	pods := &corev1.PodList{}
	if err := t.List(ctx, pods, client.InNamespace(t.namespace)); err != nil {
		b.problems = append(b.problems, "logs: "+err.Error())
		return
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		for _, c := range append(append([]corev1.ContainerStatus{}, p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...) {
			r := podLogRequest{namespace: p.Namespace, pod: p.Name, container: c.Name, limitBytes: maxLogBytes}
			s.collectLog(ctx, b, r)
			if c.RestartCount > 0 {
				r.previous = true
				s.collectLog(ctx, b, r)
			}
		}
	}
}

func (s *session) collectLog(ctx context.Context, b *bundle, r podLogRequest) {
	name := "logs/" + r.pod + "/" + r.container + ".log"
	if r.previous {
		name = "logs/" + r.pod + "/" + r.container + ".previous.log"
	}
	b.add(name, func(w io.Writer) error {
		log, err := s.podLog(ctx, r)
		if apierrors.IsBadRequest(err) || apierrors.IsNotFound(err) {
			return fmt.Errorf("no log: %w", err)
		}
		if err != nil {
			return err
		}
		defer log.Close() //nolint:errcheck // only read
		_, err = io.Copy(w, log)
		return err
	})
}

func (s *session) writeTable(ctx context.Context, t cluster, k kind, w io.Writer) error {
	list := k.newList()
	if err := t.List(ctx, list, client.InNamespace(t.namespace)); err != nil || meta.LenList(list) == 0 {
		return err
	}
	_, err := io.WriteString(w, k.table(list, describe.TableOptions{Now: s.clock.Now()}))
	return err
}

// sortedByKey goes through a map in the order of its keys.
func sortedByKey[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
