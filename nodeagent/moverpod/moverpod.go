// Package moverpod builds the pod in which a mover moves one volume.
//
// It is pure: template and mover in, pod out. The node agent creates the pod;
// the mover (cmd/podkeep mover) finds its task in its argument. The pod sees of
// the host that one volume's directory and nothing else, has no API token, and
// runs as root with the few capabilities that reading or writing other users'
// files takes. What differs from Velero's mover pod (velero-facts §6.6) is said
// in docs/node-agent.md.
package moverpod

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/moverparts"
	"github.com/podkeep/podkeep/internal/wire"
)

// ContainerName is the name of a mover pod's only container.
const ContainerName = "mover"

// stopSeconds is how long a mover may take to write its result after SIGTERM. It
// stops between two files, which takes well under a second; Velero gives none.
const stopSeconds = 5

// Mover is what one mover is to do.
type Mover struct {
	Kind wire.Kind
	Name string // of the PodVolumeBackup or PodVolumeRestore, and of the pod
	UID  types.UID

	// HostPath is the directory of the volume on the node.
	HostPath string

	// Granted lets the mover move data as soon as it is ready.
	Granted bool

	Location            *velerov1.BackupStorageLocation
	RepositoryNamespace string
	CacheLimitMB        int64 // 0 means the mover's default

	Backup  *wire.Backup  // set when Kind is wire.KindBackup
	Restore *wire.Restore // set when Kind is wire.KindRestore
}

// VolumePath returns where the volume is mounted in the mover of the object with
// this UID. It is status.path of a PodVolumeBackup, as in Velero.
func VolumePath(uid types.UID) string { return "/" + string(uid) }

// Build returns the pod, or says which field of the location is wrong.
func Build(t Template, m Mover) (*corev1.Pod, error) {
	mounts, err := mountsOf(t, m)
	if err != nil {
		return nil, err
	}
	task, err := taskOf(t, m)
	if err != nil {
		return nil, err
	}
	argument, err := task.Argument()
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{
		ObjectMeta: metadataOf(t, m),
		Spec: corev1.PodSpec{
			NodeName:                      t.Node,
			OS:                            &corev1.PodOS{Name: corev1.Linux},
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: ptr.To[int64](stopSeconds),
			ServiceAccountName:            t.ServiceAccountName,
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			ImagePullSecrets:              t.ImagePullSecrets,
			DNSPolicy:                     t.DNSPolicy,
			DNSConfig:                     t.DNSConfig,
			PriorityClassName:             t.PriorityClassName,
			Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			SecurityContext: &corev1.PodSecurityContext{
				RunAsUser:      ptr.To[int64](0),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name:            ContainerName,
				Image:           t.Image,
				ImagePullPolicy: t.ImagePullPolicy,
				Command:         []string{moverparts.Program},
				Args:            []string{moverparts.Subcommand, argument},
				Env:             append(append([]corev1.EnvVar(nil), t.Env...), mounts.Env...),
				Resources:       t.Resources,
				VolumeMounts:    mounts.Mounts,
				SecurityContext: securityContext(t, m),
			}},
			Volumes: mounts.Volumes,
		},
	}
	return pod, nil
}

// metadataOf puts our keys over the configured ones.
func metadataOf(t Template, m Mover) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{
		Name:        m.Name,
		Namespace:   t.Namespace,
		Labels:      map[string]string{},
		Annotations: map[string]string{},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: velerov1.SchemeGroupVersion.String(),
			Kind:       OwnerKind(m.Kind),
			Name:       m.Name,
			UID:        m.UID,
			Controller: ptr.To(true),
		}},
	}
	maps.Copy(meta.Labels, t.Labels)
	maps.Copy(meta.Annotations, t.Annotations)
	meta.Labels[kindLabel(m.Kind)] = velerov1.ValidLabelValue(m.Name)
	meta.Labels[velerov1.MoverNodeLabel] = velerov1.ValidLabelValue(t.Node)
	delete(meta.Annotations, velerov1.SlotAnnotation)
	if m.Granted {
		meta.Annotations[velerov1.SlotAnnotation] = velerov1.SlotGranted
	}
	return meta
}

// OwnerKind returns the API kind of the object that a mover works for.
func OwnerKind(k wire.Kind) string {
	if k == wire.KindRestore {
		return "PodVolumeRestore"
	}
	return "PodVolumeBackup"
}

func kindLabel(k wire.Kind) string {
	if k == wire.KindRestore {
		return velerov1.PodVolumeRestoreLabel
	}
	return velerov1.PodVolumeBackupLabel
}

// securityContext gives a mover what it needs for files of any owner, and nothing
// else.
//
// A backup reads every file and directory (DAC_READ_SEARCH). A restore writes
// below directories of other owners (DAC_OVERRIDE), gives files their owner
// (CHOWN), sets modes and times of files that are no longer its own (FOWNER) and
// keeps setuid and setgid bits while doing so (FSETID). SETFCAP and MKNOD are
// left out: kopia carries neither file capabilities nor devices.
//
// A repository in a folder belongs to the user of the server, so that a backup
// must write there as well (DAC_OVERRIDE).
func securityContext(t Template, m Mover) *corev1.SecurityContext {
	if t.Privileged {
		return &corev1.SecurityContext{
			RunAsUser:              ptr.To[int64](0),
			Privileged:             ptr.To(true),
			ReadOnlyRootFilesystem: ptr.To(true),
		}
	}
	add := []corev1.Capability{"DAC_READ_SEARCH"}
	switch {
	case m.Kind == wire.KindRestore:
		add = []corev1.Capability{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"}
	case isFilesystem(m.Location):
		add = append(add, "DAC_OVERRIDE")
	}
	return &corev1.SecurityContext{
		RunAsUser:                ptr.To[int64](0),
		AllowPrivilegeEscalation: ptr.To(false),
		ReadOnlyRootFilesystem:   ptr.To(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: add},
	}
}

func isFilesystem(bsl *velerov1.BackupStorageLocation) bool {
	l, err := location.New(bsl)
	return err == nil && l.Provider == location.ProviderFilesystem
}

// taskOf fills in what the pod decides: where things are mounted.
func taskOf(t Template, m Mover) (wire.Task, error) {
	l, err := location.New(m.Location)
	if err != nil {
		return wire.Task{}, fmt.Errorf("backup storage location %s: %w", m.Location.Name, err)
	}
	if credentialsOf(t, m.Location) != nil && l.Provider != location.ProviderFilesystem {
		l.CredentialsFile = moverparts.CredentialsFile
	}
	return wire.Task{
		Kind:       m.Kind,
		Name:       m.Name,
		UID:        string(m.UID),
		VolumePath: VolumePath(m.UID),
		Repository: wire.Repository{
			Location:     l,
			Namespace:    m.RepositoryNamespace,
			PasswordFile: moverparts.PasswordFile,
			CacheDir:     moverparts.CacheDir,
			CacheLimitMB: cacheLimitMB(t, m),

			StorageTimeoutSeconds: int64(t.StorageTimeout.Seconds()),
		},
		Backup:   m.Backup,
		Restore:  m.Restore,
		SlotFile: slotFile,
	}, nil
}
