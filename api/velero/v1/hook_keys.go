package v1

// Annotations on pods that name commands to run before and after their backup.
// A hook exists when its command annotation does. A command that begins with "["
// is a JSON array of strings; any other is one word.
const (
	// PreBackupHookCommandAnnotation is the command to run before the backup.
	PreBackupHookCommandAnnotation = "pre.hook.backup.velero.io/command"

	// PreBackupHookContainerAnnotation is where it runs; the default is the first
	// container.
	PreBackupHookContainerAnnotation = "pre.hook.backup.velero.io/container"

	// PreBackupHookOnErrorAnnotation is its HookErrorMode.
	PreBackupHookOnErrorAnnotation = "pre.hook.backup.velero.io/on-error"

	// PreBackupHookTimeoutAnnotation bounds its run, as a Go duration; the default
	// is 30s.
	PreBackupHookTimeoutAnnotation = "pre.hook.backup.velero.io/timeout"

	// PostBackupHookCommandAnnotation is the command to run after the backup of
	// the pod and its volumes.
	PostBackupHookCommandAnnotation = "post.hook.backup.velero.io/command"

	// PostBackupHookContainerAnnotation is where it runs; the default is the first
	// container.
	PostBackupHookContainerAnnotation = "post.hook.backup.velero.io/container"

	// PostBackupHookOnErrorAnnotation is its HookErrorMode.
	PostBackupHookOnErrorAnnotation = "post.hook.backup.velero.io/on-error"

	// PostBackupHookTimeoutAnnotation bounds its run, as a Go duration; the
	// default is 30s.
	PostBackupHookTimeoutAnnotation = "post.hook.backup.velero.io/timeout"

	// LegacyBackupHookCommandAnnotation is read when there is no
	// PreBackupHookCommandAnnotation.
	LegacyBackupHookCommandAnnotation = "hook.backup.velero.io/command"

	// LegacyBackupHookContainerAnnotation belongs to
	// LegacyBackupHookCommandAnnotation.
	LegacyBackupHookContainerAnnotation = "hook.backup.velero.io/container"

	// LegacyBackupHookOnErrorAnnotation belongs to
	// LegacyBackupHookCommandAnnotation.
	LegacyBackupHookOnErrorAnnotation = "hook.backup.velero.io/on-error"

	// LegacyBackupHookTimeoutAnnotation belongs to
	// LegacyBackupHookCommandAnnotation.
	LegacyBackupHookTimeoutAnnotation = "hook.backup.velero.io/timeout"
)

// Annotations, on pods as they are in the backup, that name commands and init
// containers to run when the pod is restored.
const (
	// PostRestoreHookCommandAnnotation is the command to run once the container is
	// up.
	PostRestoreHookCommandAnnotation = "post.hook.restore.velero.io/command"

	// PostRestoreHookContainerAnnotation is where it runs; the default is the
	// first container.
	PostRestoreHookContainerAnnotation = "post.hook.restore.velero.io/container"

	// PostRestoreHookOnErrorAnnotation is its HookErrorMode.
	PostRestoreHookOnErrorAnnotation = "post.hook.restore.velero.io/on-error"

	// PostRestoreHookExecTimeoutAnnotation bounds its run, as a Go duration.
	PostRestoreHookExecTimeoutAnnotation = "post.hook.restore.velero.io/exec-timeout"

	// PostRestoreHookWaitTimeoutAnnotation bounds the time until the container is
	// up, as a Go duration; zero means no limit of its own.
	PostRestoreHookWaitTimeoutAnnotation = "post.hook.restore.velero.io/wait-timeout"

	// PostRestoreHookWaitForReadyAnnotation is "true" when the container must be
	// ready, not only running.
	PostRestoreHookWaitForReadyAnnotation = "post.hook.restore.velero.io/wait-for-ready"

	// InitRestoreHookContainerImageAnnotation is the image of an init container to
	// add.
	InitRestoreHookContainerImageAnnotation = "init.hook.restore.velero.io/container-image"

	// InitRestoreHookContainerNameAnnotation is its name; the default is made up.
	InitRestoreHookContainerNameAnnotation = "init.hook.restore.velero.io/container-name"

	// InitRestoreHookCommandAnnotation is its command; the default is that of the
	// image.
	InitRestoreHookCommandAnnotation = "init.hook.restore.velero.io/command"

	// InitRestoreHookTimeoutAnnotation is a Go duration; Velero defines it but
	// does not act on it.
	InitRestoreHookTimeoutAnnotation = "init.hook.restore.velero.io/timeout"
)
