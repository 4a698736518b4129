package maintenance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/moverparts"
	"github.com/podkeep/podkeep/internal/repositoryconfig"
	"github.com/podkeep/podkeep/internal/wire"
)

// Names of Velero's (velero-facts §4.11).
const (
	podName       = "velero-repo-maintenance-pod"
	containerName = "velero-repo-maintenance-container"

	// serverContainer is the name of the server's container. A pod with one
	// container may call it anything.
	serverContainer = "velero"
)

const (
	// deadlineSeconds ends a maintenance that hangs. A full one of a repository of
	// many terabytes takes hours; what it has done until then stays done.
	deadlineSeconds = 24 * 3600

	// secretMode lets the server's user, which is not root, read files of Secrets.
	secretMode = 0o444

	// maxJobName is how long the name of a Job may be, which is a label of its pod.
	maxJobName = 63

	nameHashDigits = 10
)

// request is what a Job is built from.
type request struct {
	repository *velerov1.BackupRepository
	location   *velerov1.BackupStorageLocation
	settings   repositoryconfig.Maintenance

	// server is the server's own pod: what it takes to run in this cluster, the Job
	// takes over.
	server *corev1.Pod

	// credentials are those of the location, nil when it is reached by the identity
	// of the pod. password is that of the repositories.
	credentials *corev1.SecretKeySelector
	password    *corev1.SecretKeySelector
}

// jobName is the same for all tries that are due at the same time, so that a server
// that dies after it has made a Job makes no second one. Repositories with long
// names do not fit Velero's pattern, and are told apart by a hash.
func jobName(r *velerov1.BackupRepository) string {
	due := strconv.FormatInt(nextTry(r).UnixMilli(), 10)
	if name := r.Name + "-maintain-job-" + due; len(name) <= maxJobName {
		return name
	}
	sum := sha256.Sum256([]byte(r.Name))
	return "repo-maintain-job-" + hex.EncodeToString(sum[:])[:nameHashDigits] + "-" + due
}

// build returns the Job, or says which field of the location is wrong. Its pod has
// no API token: it talks to the storage only.
func build(q request) (*batchv1.Job, error) {
	server := moverparts.Container(q.server, serverContainer)
	if server == nil {
		return nil, fmt.Errorf("pod %s/%s has no container %q", q.server.Namespace, q.server.Name, serverContainer)
	}
	mounts := moverparts.Mounts{SecretMode: secretMode}
	mounts.Add("cache", moverparts.CacheDir, moverparts.EmptyDir())
	mounts.Add("tmp", moverparts.TemporaryDir, moverparts.EmptyDir())
	mounts.AddPassword(q.password)
	if err := mounts.AddLocation(q.location, q.credentials); err != nil {
		return nil, err
	}
	argument, err := argumentOf(q)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{}
	maps.Copy(labels, orInherited(q.settings.PodLabels, moverparts.Labels(q.server)))
	labels[velerov1.RepositoryNameLabel] = velerov1.RepositoryNameLabelValue(q.repository.Name)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: q.repository.Namespace,
			Name:      jobName(q.repository),
			Labels:    labels,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: velerov1.SchemeGroupVersion.String(), Kind: "BackupRepository",
				Name: q.repository.Name, UID: q.repository.UID, Controller: ptr.To(true),
			}},
		},
		Spec: batchv1.JobSpec{
			BackoffLimit:          ptr.To[int32](0), // the next try is ours to make
			ActiveDeadlineSeconds: ptr.To[int64](deadlineSeconds),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Name: podName, Labels: maps.Clone(labels),
					Annotations: orInherited(q.settings.PodAnnotations, moverparts.Annotations(q.server)),
				},
				Spec: podSpec(q, corev1.Container{
					Name:            containerName,
					Image:           server.Image,
					ImagePullPolicy: corev1.PullIfNotPresent,
					Command:         []string{moverparts.Program},
					Args:            []string{moverparts.Subcommand, argument},
					Env:             append(moverparts.Environment(server), mounts.Env...),
					Resources:       q.settings.Resources,
					VolumeMounts:    mounts.Mounts,
					SecurityContext: server.SecurityContext,

					TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
				}, mounts.Volumes),
			},
		},
	}, nil
}

func podSpec(q request, c corev1.Container, volumes []corev1.Volume) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy:                corev1.RestartPolicyNever,
		OS:                           &corev1.PodOS{Name: corev1.Linux},
		ServiceAccountName:           q.server.Spec.ServiceAccountName, // a cloud attaches identities to it
		AutomountServiceAccountToken: ptr.To(false),
		EnableServiceLinks:           ptr.To(false),
		ImagePullSecrets:             q.server.Spec.ImagePullSecrets,
		DNSPolicy:                    q.server.Spec.DNSPolicy,
		DNSConfig:                    q.server.Spec.DNSConfig,
		PriorityClassName:            q.settings.PriorityClassName,
		Affinity:                     q.settings.Affinity,
		Tolerations:                  tolerations(q.server),
		SecurityContext:              q.server.Spec.SecurityContext,
		Containers:                   []corev1.Container{c},
		Volumes:                      volumes,
	}
}

// tolerations are the server's own, without those that Kubernetes adds to every pod.
func tolerations(server *corev1.Pod) []corev1.Toleration {
	return slices.DeleteFunc(slices.Clone(server.Spec.Tolerations), func(t corev1.Toleration) bool {
		return t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable
	})
}

// orInherited prefers configured keys: as in Velero they replace the inherited ones.
func orInherited(configured, inherited map[string]string) map[string]string {
	if len(configured) > 0 {
		return configured
	}
	return inherited
}

// argumentOf is the task of the mover.
func argumentOf(q request) (string, error) {
	l, err := location.New(q.location)
	if err != nil {
		return "", fmt.Errorf("backup storage location %s: %w", q.location.Name, err)
	}
	if q.credentials != nil && l.Provider != location.ProviderFilesystem {
		l.CredentialsFile = moverparts.CredentialsFile
	}
	return wire.Task{
		Kind: wire.KindMaintenance, Name: q.repository.Name, UID: string(q.repository.UID),
		Repository: wire.Repository{
			Location: l, Namespace: q.repository.Spec.VolumeNamespace,
			PasswordFile: moverparts.PasswordFile, CacheDir: moverparts.CacheDir, CacheLimitMB: cacheLimitMB(q.repository),
		},
	}.Argument()
}

// cacheLimitKey is the size of kopia's cache in spec.repositoryConfig; one that is no
// number makes the repository NotReady.
const cacheLimitKey = "cacheLimitMB"

func cacheLimitMB(r *velerov1.BackupRepository) int64 {
	n, err := strconv.ParseInt(r.Spec.RepositoryConfig[cacheLimitKey], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
